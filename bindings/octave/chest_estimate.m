%CHEST_ESTIMATE  Channel estimates from received pilots.
%
%   [H_HAT, ERR_VAR, SIGMA2] = CHEST_ESTIMATE(MODEL, Y, NOISE_VAR, P)
%
%   Y = H P + N for each item, N ~ CN(0, NOISE_VAR).
%
%   MODEL      name of a file of `chest fit dmse`, `gmm` or `lmmse` on matrices, or 'ls:64x16' (least squares).
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
%   Items that are zero or not finite give NaN and a warning (chest:numeric). Errors carry the program's sentence and the
%   identifiers chest:argument, chest:file or chest:state.
%
%   Example
%      H = (randn(16, 4, 50) + 1i * randn(16, 4, 50)) / sqrt(2);
%      Y = H + sqrt(0.1 / 2) * (randn(size(H)) + 1i * randn(size(H)));
%      H_hat = chest_estimate('models/scm_16x4.h5', Y, 0.1);
%
%   Build: mkoctfile --mex chest_estimate.c -I../c -lchest     (Octave)
%          mex -R2018a chest_estimate.c -I../c -lchest         (MATLAB)

error('chest:state', 'chest_estimate: the MEX file is not built, or not on the path; see help chest_estimate');
