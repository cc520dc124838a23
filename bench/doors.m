% Least processor time of a call of chest_estimate, for bench/doors.sh: MODEL, BATCH, N_RX and N_TX in the environment.
model = getenv('MODEL');
batch = str2double(getenv('BATCH'));
siz = [str2double(getenv('N_RX')), str2double(getenv('N_TX')), batch];
Y = single(2 * rand(siz) - 1 + 1i * (2 * rand(siz) - 1));
least = Inf; seconds = 0; calls = 0;
while calls < 5 || seconds < 0.6
  start = cputime;
  [H_hat, err_var] = chest_estimate(model, Y, 0.1);
  taken = cputime - start;
  least = min(least, taken);
  seconds = seconds + taken;
  calls = calls + 1;
end
printf('%.9f\n', least);
