extern "C" double estimate_one();

int main() { return estimate_one() == 1.0 ? 0 : 1; }
