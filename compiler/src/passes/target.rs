//! Where a plan is to run, as far as the compiler needs to know.

use corn_plan::Transport;

/// Workers, all alike, on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Most workers that may be used, at least one.
    pub workers: u32,
    /// CPU cores of each.
    pub cpus: u32,
    /// Memory of each, in bytes.
    pub memory_bytes: u64,
    /// The host's name.
    pub host: String,
    /// Requests admitted at once, at least one.
    pub inflight: u32,
    /// How bytes get from one worker to another.
    pub transport: Transport,
}

impl Default for Target {
    /// One worker in this process, with a core and a gibibyte, for one request at a time.
    fn default() -> Self {
        Self {
            workers: 1,
            cpus: 1,
            memory_bytes: 1 << 30,
            host: "local".to_owned(),
            inflight: 1,
            transport: Transport::Pointer,
        }
    }
}

/// `n` bytes for a person: `1.4GiB`, `200MiB`, `17B`.
pub(crate) fn human(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let Some((unit, size)) = UNITS.into_iter().find(|(_, size)| bytes >= *size) else {
        return format!("{bytes}B");
    };
    if bytes.is_multiple_of(size) {
        return format!("{}{unit}", bytes / size);
    }
    format!("{:.1}{unit}", bytes as f64 / size as f64)
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn bytes_read_well() {
        let read = [0, 17, 1024, 1536, 200 << 20, (14 << 30) / 10].map(human);
        assert_eq!(read, ["0B", "17B", "1KiB", "1.5KiB", "200MiB", "1.4GiB"]);
    }
}
