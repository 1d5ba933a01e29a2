//! The tail of the negative binomial distribution: how likely a number is, or a higher one.
//!
//! All of it is computed with `libm` in plain Rust, so that sandbox and native code agree to the last
//! bit. It knows nothing of users or days.

/// `ln P(X >= x)` of a negative binomial with that mean and a variance of `mean * dispersion`.
///
/// `mean` must be above 0, `dispersion` above 1; anything else is taken to the nearest that is. 0 for
/// `x <= 0`.
pub(crate) fn ln_tail(x: f64, mean: f64, dispersion: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let mean = mean.max(1e-9);
    let dispersion = dispersion.max(1.0 + 1e-9);
    let size = mean / (dispersion - 1.0);
    let (failure, success) = ((dispersion - 1.0) / dispersion, 1.0 / dispersion);
    // P(X >= x) is the regularized incomplete beta function I_failure(x, size).
    let ln_front = libm::lgamma(x + size) - libm::lgamma(x) - libm::lgamma(size)
        + x * libm::log(failure)
        - size * libm::log(dispersion);
    if failure >= (x + 1.0) / (x + size + 2.0) {
        // Here the fraction for the other side is the shorter one, but what is left of 1 is only good
        // where it is not small.
        let below = libm::exp(ln_front) * fraction(size, x, success) / size;
        if below < 0.9 {
            return libm::log1p(-below.max(0.0));
        }
    }
    (ln_front + libm::log(fraction(x, size, failure) / x)).min(0.0)
}

/// The same as `-log10 P(X >= x)`: 3 is one in a thousand.
#[cfg(test)]
pub(crate) fn rarity(x: f64, mean: f64, dispersion: f64) -> f64 {
    -ln_tail(x, mean, dispersion) / core::f64::consts::LN_10
}

/// The smallest number that a share of `beyond` at most lies above.
pub(crate) fn quantile(beyond: f64, mean: f64, dispersion: f64) -> u64 {
    let within = |x: u64| ln_tail((x + 1) as f64, mean, dispersion) <= libm::log(beyond);
    let mut above = 1;
    while !within(above) && above < 1 << 40 {
        above *= 2;
    }
    let mut below = 0;
    while below < above {
        let middle = below + (above - below) / 2;
        if within(middle) {
            above = middle;
        } else {
            below = middle + 1;
        }
    }
    below
}

/// The continued fraction of the incomplete beta function, by Lentz's method.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const SMALLEST: f64 = 1e-300;
    let away = |value: f64| if value.abs() < SMALLEST { SMALLEST } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut whole = d;
    // It takes about the root of the larger parameter; the bound is for what is not a number.
    for step in 1..100_000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away(1.0 + even * d);
        c = away(1.0 + even / c);
        whole *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away(1.0 + odd * d);
        c = away(1.0 + odd / c);
        let last = d * c;
        whole *= last;
        if (last - 1.0).abs() < 1e-15 || last.is_nan() {
            break;
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against SciPy, whose table is kept as data; `tests/data/nbinom.py` made it.
    #[test]
    fn agrees_with_scipy() {
        let table = include_str!("../tests/data/nbinom.csv");
        let (mut rows, mut worst) = (0, 0.0_f64);
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            let numbers: Vec<f64> = line.split(',').map(|text| text.parse().unwrap()).collect();
            let [x, mean, dispersion, expected] = numbers[..] else { panic!("{line}") };
            let error = (rarity(x, mean, dispersion) - expected).abs() / expected;
            worst = worst.max(error);
            assert!(error < 1e-9, "{line}: {}", rarity(x, mean, dispersion));
            rows += 1;
        }
        assert!(rows > 800, "{rows} rows, worst {worst}");
    }

    /// The sum of the probabilities themselves is an oracle that needs no special function.
    #[test]
    fn agrees_with_plain_sums() {
        for (mean, dispersion) in [(0.3, 2.0), (4.0, 1.5), (40.0, 20.0), (3.0, 60.0)] {
            let size: f64 = mean / (dispersion - 1.0);
            let (mut probability, mut sum) = (libm::pow(dispersion, -size), 0.0);
            for x in 0..60 {
                let tail = 1.0 - sum;
                if tail > 1e-4 {
                    let got = libm::exp(ln_tail(f64::from(x), mean, dispersion));
                    assert!((got - tail).abs() < 1e-11, "{x} {mean} {dispersion}: {got} {tail}");
                }
                sum += probability;
                probability *=
                    (f64::from(x) + size) / f64::from(x + 1) * (dispersion - 1.0) / dispersion;
            }
        }
    }

    #[test]
    fn the_quantile_is_where_the_tail_says() {
        for (mean, dispersion) in [(0.05, 2.0), (6.0, 3.0), (500.0, 90.0)] {
            let most = quantile(0.001, mean, dispersion);
            assert!(rarity((most + 1) as f64, mean, dispersion) >= 3.0);
            assert!(most == 0 || rarity(most as f64, mean, dispersion) < 3.0);
        }
    }

    /// What is no number, or no distribution, ends.
    #[test]
    fn nonsense_ends() {
        for mean in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            for dispersion in [0.0, f64::NAN, f64::INFINITY, 1e300] {
                let _ = rarity(10.0, mean, dispersion);
                let _ = quantile(0.001, mean, dispersion);
            }
        }
    }
}
