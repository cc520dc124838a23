#!/usr/bin/env bash
# Fits foreign.h5 and clean.h5 anew: tests/golden/adapt/make.sh build/dev/tests/chest_nn_tests
exec "$1" --gtest_also_run_disabled_tests --gtest_filter='Adapt.DISABLED_MakesItsModels'
