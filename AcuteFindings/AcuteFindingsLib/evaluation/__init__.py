"""How good an answer is: metrics with intervals, comparisons, calibration, agreement, and pictures of them."""
