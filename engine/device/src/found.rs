//! Which GPUs this process sees.

use crate::driver;

/// The variable that says which of the driver's GPUs each of the plan's is, in order: `CORN_GPUS=2,3` where this process
/// sees four and the plan means the last two. Without it both number alike.
const NUMBERS: &str = "CORN_GPUS";

/// A GPU that this process sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its number, as plans number those of a host.
    pub index: u32,
    /// Its number, as the driver numbers those that this process sees.
    pub(crate) ordinal: u32,
    /// What it is called.
    pub name: String,
    /// Bytes of its memory.
    pub total_bytes: u64,
}

/// The GPUs that this process sees, or why it sees none.
pub fn find() -> Result<Vec<Found>, String> {
    driver::open()?;
    let count = driver::count().map_err(|refused| refused.to_string())?;
    let ordinals = match std::env::var(NUMBERS) {
        Ok(numbers) => numbered(&numbers, count)?,
        Err(_) => (0..count).collect(),
    };
    if ordinals.is_empty() {
        return Err("the driver shows no GPU to this process".to_owned());
    }
    let find = |(index, ordinal): (usize, u32)| {
        let (name, total_bytes) = driver::describe(ordinal).map_err(|refused| refused.to_string())?;
        Ok(Found { index: index as u32, ordinal, name, total_bytes })
    };
    ordinals.into_iter().enumerate().map(find).collect()
}

fn numbered(numbers: &str, count: u32) -> Result<Vec<u32>, String> {
    let number = |text: &str| {
        let ordinal = text.trim().parse::<u32>().ok().filter(|ordinal| *ordinal < count);
        ordinal.ok_or_else(|| {
            format!("{NUMBERS} says {text:?}; this process sees GPUs 0 to {count}, without the last")
        })
    };
    numbers.split(',').filter(|text| !text.trim().is_empty()).map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_numbers_what_is_there() {
        assert_eq!(numbered("2, 3", 4), Ok(vec![2, 3]));
        assert_eq!(numbered("0,0", 1), Ok(vec![0, 0]));
        assert_eq!(numbered("", 1), Ok(vec![]));
        assert!(numbered("1", 1).is_err());
        assert!(numbered("x", 1).is_err());
    }
}
