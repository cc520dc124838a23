% Checks with Octave that a file of tests/dataset_independent_readers_test.cpp holds what it should, its
% second argument being the copy with other names of the complex parts.
arguments = argv();
written = load("-hdf5", arguments{end - 1});
assert(written.err_var(:), 0.1 * (1:5)', 1e-15);
assert(size(written.covariance.t_rx), [4, 5]);
copy = load("-hdf5", arguments{end});
% Octave shows the axes in reverse: [tx, rx, sample].
assert(size(copy.channels), [3, 4, 5]);
[t, r, k] = ndgrid(0:2, 0:3, 0:4);
assert(copy.channels, exp(1i * (0.7 * k + 1.3 * r + 2.1 * t)), 1e-7);
