% chest_estimate in Octave: octave tests/octave_test.m, with CHEST_MODEL and the MEX file on the path (CTest sets both).
1;
function check(condition, what)
  if ! condition
    error('octave_test: %s', what);
  end
end
function refused(identifier, varargin)
  try
    chest_estimate(varargin{:});
  catch caught
    check(strcmp(caught.identifier, identifier), [caught.identifier ': ' caught.message]);
    return
  end
  error('octave_test: not refused');
end

model = getenv('CHEST_MODEL');
check(! isempty(strfind(help('chest_estimate'), 'NOISE_VAR')), 'no help');
rand('seed', 1); randn('seed', 1);
n = 40; n_rx = 16; n_tx = 4;
% A few plane waves between lines of antennas.
H = zeros(n_rx, n_tx, n);
for k = 1:n
  rx = pi * (2 * rand - 1 + 0.05 * randn(1, 6)); tx = pi * (2 * rand - 1 + 0.05 * randn(1, 6));
  g = (randn(6, 1) + 1i * randn(6, 1)) / sqrt(12);
  H(:, :, k) = exp(1i * (0:n_rx - 1)' * rx) * diag(g) * exp(1i * (0:n_tx - 1)' * tx).';
end
noise = @(variance, siz) sqrt(variance / 2) * (randn(siz) + 1i * randn(siz));
nmse_db = @(a) 10 * log10(sum(abs(a(:) - H(:)).^2) / sum(abs(H(:)).^2));
Y = H + noise(0.1, size(H));

[H_hat, err_var, sigma2] = chest_estimate(model, Y, 0.1);
check(isequal(size(H_hat), size(H)) && isequal(size(err_var), [n 1]), 'sizes');
check(nmse_db(H_hat) < nmse_db(Y) - 3, 'the prior does not help');
check(abs(sigma2 - 0.1) < 1e-6, 'sigma2');
check(isequal(chest_estimate('ls:16x4', Y, 0.1), double(single(Y))), 'least squares is not y');

% One by one, single precision, noise of each item, found.
check(isequal(chest_estimate(model, Y(:, :, 7), 0.1), H_hat(:, :, 7)), 'one item');
check(isequal(chest_estimate(model, single(Y), 0.1), single(H_hat)), 'single');
check(isequal(chest_estimate(model, Y, 0.1 * ones(n, 1)), H_hat), 'noise of each item');
check(nmse_db(chest_estimate(model, Y)) < nmse_db(Y) - 2, 'unknown noise');

% Pilots.
P = exp(-2i * pi * (0:3)' * (0:3) / 4);
Z = zeros(n_rx, 4, n);
for k = 1:n, Z(:, :, k) = Y(:, :, k) * P; end
G = chest_estimate(model, Z, 0.4, P);
check(max(abs(G(:) - H_hat(:))) < 5e-3, 'orthogonal pilots');  % in bfloat16, where the processor is fast with it
check(isequal(chest_estimate(model, Z, 0.4, P), G), 'the same pilots again');
order = [2 1 4 3];
G2 = chest_estimate(model, Z(:, order, :), 0.4, P(:, order));
check(max(abs(G2(:) - G(:))) < 5e-3, 'other pilots of the same size');
check(isequal(chest_estimate(model, Z, 0.4, P), G), 'the first pilots again');
check(isequal(chest_estimate(model, Y, 0.1), H_hat), 'pilots stay');

% Grids: a channel that does not change, known pilots without noise; by name and as an array.
n_f = 24; n_s = 3;
A = zeros(2, n_f, n_s);
A(1, 1:2:end, 2) = 1; A(2, 2:2:end, 2) = 1i;
G0 = (randn(2, 2) + 1i * randn(2, 2)) / sqrt(2);
R = reshape(G0 * reshape(A, 2, []), [2 n_f n_s]);
R = cat(4, R, 2 * R);
[G, err_var] = chest_estimate('ls:2x2', R, 1e-6, struct('pilots', A, 'spacing', 30e3));
check(isequal(size(G), [2 2 n_f n_s 2]) && isequal(size(err_var), size(G)), 'sizes of grids');
check(max(max(max(max(abs(G(:, :, :, :, 1) - repmat(G0, [1 1 n_f n_s])))))) < 1e-5, 'a constant channel');
check(max(max(max(max(abs(G(:, :, :, :, 2) - 2 * repmat(G0, [1 1 n_f n_s])))))) < 1e-5, 'the second item');
check(all(err_var(:) > 0), 'errors of grids');
named = chest_estimate('ls:2x2', R, 1e-6, struct('pilots', 'comb:2,symbols=1', 'spacing', 30e3, 'n_tx', 2));
check(isequal(size(named), size(G)), 'pilots by name');
check(isequal(chest_estimate('ls:2x2', R, 1e-6, struct('pilots', A, 'spacing', 30e3)), G), 'the first grid again');
check(isequal(chest_estimate('ls:2x2', R, 1e-6, struct('pilots', A, 'spacing', 30e3)), G), 'the same grid again');
refused('chest:argument', 'ls:2x2', R, 1e-6, struct('spacing', 30e3));
refused('chest:argument', 'ls:2x2', R, 1e-6, struct('pilots', 'comp:2', 'spacing', 30e3, 'n_tx', 2));
refused('chest:state', model, R, 1e-6, struct('pilots', A, 'spacing', 30e3));
check(isequal(chest_estimate('ls:2x2', G0, 0.1), double(single(G0))), 'matrices after grids');

refused('chest:file', 'no_such_model.h5', Y, 0.1);
refused('chest:argument', model, Y(:, 1:3, :), 0.1);
refused('chest:argument', model, Y, -1);
refused('chest:argument', model, int16(real(Y)), 0.1);
refused('chest:argument', model, Y, 0.1, P(1:3, :));
refused('chest:argument', model);
refused('chest:state', 'ls:16x4', Y);
Y(1) = NaN;
warning('off', 'chest:numeric');
G = chest_estimate(model, Y, 0.1);
check(all(isnan(G(:, :, 1)(:))) && ! any(isnan(G(:, :, 2:n)(:))), 'NaN stays in its item');
disp('octave_test: passed');
