//! Statistics of measured values.

/// The values of a quantity that is measured again and again.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds a value.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Returns the smallest value. None if there are no values.
    pub fn min(&self) -> Option<f64> {
        self.percentile(0.0)
    }

    /// Returns the median. None if there are no values.
    pub fn median(&self) -> Option<f64> {
        self.percentile(0.5)
    }

    /// Returns the value that this share of all values does not exceed (nearest rank).
    /// None if there are no values.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied()
    }
}

/// Shuffles the items, in an order that depends on `seed` alone.
pub fn shuffle<T>(items: &mut [T], seed: u64) {
    // A linear congruential generator (with Knuth's constants) is random enough to vary
    // the order.
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    for last in (1..items.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        items.swap(last, (state >> 33) as usize % (last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: impl IntoIterator<Item = u32>) -> Samples {
        Samples(values.into_iter().map(f64::from).collect())
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred = samples((1..=100).rev());
        assert_eq!(hundred.min(), Some(1.0));
        assert_eq!(hundred.median(), Some(50.0));
        assert_eq!(hundred.percentile(0.99), Some(99.0));
        assert_eq!(samples([3, 1, 2]).median(), Some(2.0));
        assert_eq!(samples([7]).percentile(0.99), Some(7.0));
    }

    #[test]
    fn without_values_there_is_no_median() {
        assert_eq!(Samples::default().median(), None);
    }

    #[test]
    fn shuffling_keeps_all_items_and_depends_on_the_seed() {
        let order = |seed| {
            let mut items: Vec<u32> = (0..8).collect();
            shuffle(&mut items, seed);
            items
        };
        let mut sorted = order(1);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..8).collect::<Vec<_>>());
        assert_ne!(order(1), order(2));
    }
}
