"""Writes nbinom.csv: x, mean, dispersion, -log10 P(X >= x) of the negative binomial distribution.

Made with SciPy 1.17.1 (`pip install scipy mpmath`); where SciPy's own tail is not good to 1e-10 (it
goes through linear space, and loses what is near 1 or below 1e-300), the sum of its probabilities in
high precision by mpmath stands instead, and the two are compared where both are good.
"""
import sys
import mpmath as mp
from scipy.stats import nbinom

mp.mp.dps = 40


def exact(x, mean, dispersion):
    size, q = mp.mpf(mean) / (mp.mpf(dispersion) - 1), 1 - 1 / mp.mpf(dispersion)
    return -mp.log10(mp.betainc(x, size, 0, q, regularized=True))


print("# x,mean,dispersion,-log10 P(X >= x); made by nbinom.py")
worst = 0
for mean in [0.02, 0.3, 1.7, 6.0, 25.0, 140.0, 2500.0]:
    for dispersion in [1.05, 1.5, 2.0, 4.0, 11.0, 60.0, 700.0]:
        for x in [1, 2, 3, 5, 8, 10, 14, 20, 31, 45, 60, 90, 120, 200, 350, 600, 1200, 2600, 3100, 5000, 12000]:
            size, p = mean / (dispersion - 1), 1 / dispersion
            scipy = -nbinom.logsf(x - 1, size, p) / mp.log(10)
            good = exact(x, mean, dispersion)
            if good < mp.mpf("1e-6") or good > 5000:
                continue
            if 0.05 < good < 250:
                worst = max(worst, abs(scipy - good) / good)
            print(f"{x},{mean},{dispersion},{mp.nstr(good, 17)}")
print(f"SciPy differs by {float(worst):.1e} at most", file=sys.stderr)
assert worst < 1e-9
