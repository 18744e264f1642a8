//! How times spread, in buckets whose bounds are 1, 2 and 5 times a power of ten.

/// The longest bar, in columns.
const WIDTH: u64 = 40;
/// Parts of a column, from an eighth to seven.
const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// Times from `from_us` up to, but without, `to_us`.
#[derive(Debug, PartialEq)]
pub(super) struct Bucket {
    pub(super) from_us: u64,
    pub(super) to_us: u64,
    pub(super) count: u64,
}

/// The buckets from that of the shortest time to that of the longest, empty ones between as well.
pub(super) fn buckets(sorted_us: &[u64]) -> Vec<Bucket> {
    let (Some(shortest), Some(longest)) = (sorted_us.first(), sorted_us.last()) else { return Vec::new() };
    let mut bounds = vec![0];
    let mut decade = 1_u64;
    while bounds.last().is_some_and(|last| last <= longest) && decade < u64::MAX / 10 {
        bounds.extend([1, 2, 5].map(|step| decade * step));
        decade *= 10;
    }
    let mut left = sorted_us;
    let mut buckets = Vec::new();
    for pair in bounds.windows(2) {
        let (here, later) = left.split_at(left.partition_point(|time| *time < pair[1]));
        if pair[1] > *shortest && !left.is_empty() {
            buckets.push(Bucket { from_us: pair[0], to_us: pair[1], count: here.len() as u64 });
        }
        left = later;
    }
    buckets
}

/// A line for each bucket: its bounds, its count, its share and a bar.
pub(super) fn text(buckets: &[Bucket]) -> String {
    let all: u64 = buckets.iter().map(|bucket| bucket.count).sum();
    let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or_default().max(1);
    let line = |bucket: &Bucket| {
        let share = bucket.count as f64 * 100.0 / all.max(1) as f64;
        let (from, to) = (span(bucket.from_us), span(bucket.to_us));
        let line = format!(
            "    {from:>6} – {to:<6} {:>7} {share:>5.1} %  {}",
            bucket.count,
            bar(bucket.count, most)
        );
        format!("{}\n", line.trim_end())
    };
    buckets.iter().map(line).collect()
}

/// A bar of eighths of columns; what is there at all is seen.
fn bar(count: u64, most: u64) -> String {
    let eighths = (count.saturating_mul(WIDTH * 8) / most).max(u64::from(count > 0));
    let whole = "█".repeat((eighths / 8) as usize);
    format!("{whole}{}", PARTS[(eighths % 8) as usize])
}

/// A bound in the unit in which it is short.
fn span(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{} s", us / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_below_and_empty_buckets_between_are_kept() {
        let found: Vec<_> =
            buckets(&[10, 19, 20, 100]).iter().map(|one| (one.from_us, one.to_us, one.count)).collect();
        assert_eq!(found, [(10, 20, 2), (20, 50, 1), (50, 100, 0), (100, 200, 1)]);
    }

    #[test]
    fn no_time_at_all_has_a_bucket() {
        assert_eq!(buckets(&[0]), [Bucket { from_us: 0, to_us: 1, count: 1 }]);
        assert_eq!(buckets(&[]), []);
    }

    #[test]
    fn one_in_many_is_seen() {
        assert_eq!(bar(1, 1_000_000), "▏");
        assert_eq!(bar(0, 1_000_000), "");
        assert_eq!(bar(5, 5).chars().count(), 40);
    }
}
