//! Shares of what there is not enough of, and their two scales.

/// A share of CPU time on the scale of cgroup v1: 2 to 262144, 1024 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuShares(pub u64);

impl CpuShares {
    /// The same share on the scale of cgroup v2: 1 to 10000, 100 by default.
    ///
    /// The curve meets both ends and both defaults: 2 → 1, 1024 → 100, 262144 → 10000.
    /// The OCI runtimes use it since runc 1.3.2 and crun 1.23 ([crun
    /// #1721](https://github.com/containers/crun/issues/1721)); the straight line that
    /// they used before made 39 of 1024.
    pub fn weight(self) -> u64 {
        let log = (self.0 as f64).log2();
        let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
        (10f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
    }
}

/// A share of block I/O on the scale of cgroup v1: 10 to 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlkioWeight(pub u64);

impl BlkioWeight {
    /// The same share for `io.weight` of cgroup v2: 1 to 10000, linear, as OCI runtimes
    /// convert it ([crun(1), "IO
    /// controller"](https://github.com/containers/crun/blob/main/crun.1.md)).
    pub fn io_weight(self) -> u64 {
        1 + self.0.saturating_sub(10) * 9999 / 990
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_keep_both_ends_and_the_default_on_the_scale_of_v2() {
        let weight = |shares| CpuShares(shares).weight();
        assert_eq!([2, 512, 1024, 262_144].map(weight), [1, 59, 100, 10_000]);
        assert!(
            (2..262_144)
                .step_by(97)
                .all(|shares| weight(shares) <= weight(shares + 97))
        );
    }

    #[test]
    fn block_io_weights_keep_both_ends() {
        assert_eq!(
            [10, 500, 1000].map(|weight| BlkioWeight(weight).io_weight()),
            [1, 4950, 10_000]
        );
    }
}
