%CHEST_ESTIMATE  Channel estimates from received pilots.
%
%   [H_HAT, ERR_VAR, SIGMA2] = CHEST_ESTIMATE(MODEL, Y, NOISE_VAR, P)
%   [H_HAT, ERR_VAR, SIGMA2] = CHEST_ESTIMATE(MODEL, Y, NOISE_VAR, GRID)     on an OFDM grid
%
%   Y = H P + N for each item, N ~ CN(0, NOISE_VAR).
%
%   MODEL      name of a file of `chest fit dmse`, `gmm` or `lmmse`, or 'ls:64x16' (least squares).
%              It stays open until `clear chest_estimate`.
%   Y          [n_rx, n_pilots, n] or [n_rx, n_pilots], single or double
%   NOISE_VAR  noise variance per complex entry of Y: one number, or n of them; NaN, [] or left out: found for each
%              item
%   P          pilots, [n_tx, n_pilots]; [] or left out: the identity, Y is H + N
%
%   H_HAT      [n_rx, n_tx, n], of Y's class, at the scale E|H(i,j)|^2 = 1
%   ERR_VAR    predicted error variance per entry of H, [n, 1]; NaN where it is not known
%   SIGMA2     noise variance that the last item was estimated with
%
%   On a grid Y is [n_rx, n_subcarriers, n_symbols, n], H_HAT and ERR_VAR are [n_rx, n_tx, n_subcarriers, n_symbols, n], and
%   GRID is a struct:
%      pilots   what every port sends, [n_tx, n_subcarriers, n_symbols], 0 where it is silent; or a text as chest sweep
%               takes it, 'comb:4,symbols=2-11', 'dmrs:symbols=2-11'
%      spacing  of subcarriers, Hz
%      n_tx     ports, for a text (1)
%      panel    [rows columns polarisations] of the receive antennas; left out: a line, or the model's
%      energy   of the pilots of a text, per element (1)
%
%   Items that are zero or not finite give NaN and a warning (chest:numeric). Errors carry the program's sentence and the
%   identifiers chest:argument, chest:file or chest:state.
%
%   Example
%      H = (randn(16, 4, 50) + 1i * randn(16, 4, 50)) / sqrt(2);
%      Y = H + sqrt(0.1 / 2) * (randn(size(H)) + 1i * randn(size(H)));
%      H_hat = chest_estimate('models/scm_16x4.h5', Y, 0.1);
%
%      grid = struct('pilots', 'comb:4', 'spacing', 30e3, 'panel', [2 4 2]);
%      H_hat = chest_estimate('models/umi_16x624.h5', Y, 0.01, grid);
%
%   Build: mkoctfile --mex chest_estimate.c -I../c -lchest     (Octave)
%          mex -R2018a chest_estimate.c -I../c -lchest         (MATLAB)

error('chest:state', 'chest_estimate: the MEX file is not built, or not on the path; see help chest_estimate');
