//! Tensors as `.npy` files of version 1.0, the format that NumPy documents in `numpy.lib.format`.

use corn_core::Tensor;
use corn_plan::Dtype;

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

/// NumPy's names of dtypes. It has none for bf16.
const DESCRIPTIONS: [(Dtype, &str); 9] = [
    (Dtype::F16, "<f2"),
    (Dtype::F32, "<f4"),
    (Dtype::F64, "<f8"),
    (Dtype::I8, "|i1"),
    (Dtype::I16, "<i2"),
    (Dtype::I32, "<i4"),
    (Dtype::I64, "<i8"),
    (Dtype::U8, "|u1"),
    (Dtype::Bool, "|b1"),
];

/// The tensor as a `.npy` file; bf16 is widened to f32, which loses nothing.
pub(crate) fn write(tensor: &Tensor) -> Vec<u8> {
    if tensor.dtype == Dtype::Bf16 {
        let bytes = tensor.bytes.chunks_exact(2).flat_map(|half| [0, 0, half[0], half[1]]).collect();
        return write(&Tensor { dtype: Dtype::F32, shape: tensor.shape.clone(), bytes });
    }
    let description =
        DESCRIPTIONS.iter().find(|(dtype, _)| *dtype == tensor.dtype).map_or("|u1", |(_, name)| name);
    let mut shape = tensor.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if tensor.shape.len() == 1 {
        shape.push(',');
    }
    let mut header = format!("{{'descr': '{description}', 'fortran_order': False, 'shape': ({shape}), }}");
    // The data begins at a multiple of 64 bytes; the header ends with a line feed.
    let length = (MAGIC.len() + 2 + header.len() + 1).next_multiple_of(64) - MAGIC.len() - 2;
    header += &" ".repeat(length - header.len() - 1);
    header.push('\n');
    let mut file = MAGIC.to_vec();
    file.extend((length as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(&tensor.bytes);
    file
}

/// The tensor in a `.npy` file.
pub(crate) fn read(file: &[u8]) -> Result<Tensor, String> {
    let wrong = || "it is no .npy file of version 1 in C order".to_owned();
    let rest = file.strip_prefix(MAGIC).ok_or_else(wrong)?;
    let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(wrong)?;
    let (header, bytes) = rest.split_at_checked(u16::from_le_bytes(*length) as usize).ok_or_else(wrong)?;
    let header = std::str::from_utf8(header).map_err(|_| wrong())?;
    let field = |name: &str| header.split_once(&format!("'{name}':")).map(|(_, rest)| rest.trim_start());
    let description = field("descr").and_then(|rest| rest.split('\'').nth(1)).ok_or_else(wrong)?;
    if !field("fortran_order").is_some_and(|rest| rest.starts_with("False")) {
        return Err(wrong());
    }
    let shape =
        field("shape").and_then(|rest| rest.strip_prefix('(')?.split(')').next()).ok_or_else(wrong)?;
    let extents = shape.split(',').map(str::trim).filter(|extent| !extent.is_empty());
    let shape: Vec<u64> = extents.map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let dtype = DESCRIPTIONS.iter().find(|(_, name)| *name == description).map(|(dtype, _)| *dtype);
    let dtype = dtype.ok_or_else(|| format!("its dtype '{description}' is none of Corn's"))?;
    let expected = shape.iter().try_fold(dtype.size_bytes(), |bytes, extent| bytes.checked_mul(*extent));
    if expected != Some(bytes.len() as u64) {
        return Err(format!("its shape {shape:?} does not fit its {} bytes", bytes.len()));
    }
    Ok(Tensor { dtype, shape, bytes: bytes.to_vec().into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H1 at the edge: every dtype and odd shape comes back as it was.
    #[test]
    fn what_is_written_is_read() {
        for (dtype, _) in DESCRIPTIONS {
            for shape in [vec![], vec![0], vec![1], vec![3, 5], vec![2, 0, 4]] {
                let count: u64 = shape.iter().product();
                let bytes = (0..count * dtype.size_bytes()).map(|byte| byte as u8).collect();
                let tensor = Tensor { dtype, shape, bytes };
                let file = write(&tensor);
                assert_eq!(read(&file), Ok(tensor));
                for cut in 0..file.len() {
                    assert!(read(&file[..cut]).is_err() || cut == file.len());
                }
            }
        }
    }
}
