"""What the tests of several rooms share: made samples, runs, servers and comparisons."""
