//! Luma and chroma to red, green and blue.

use super::h264::Picture;

/// How brightness and colour were told apart (ITU-T H.264, table E-5), and whether all values of a byte are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) matrix: Matrix,
    pub(super) is_full: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matrix {
    Bt601,
    Bt709,
    Bt2020,
    Smpte240,
}

impl Matrix {
    /// What a stream says by a number; one that says nothing is taken by its height.
    pub(super) const fn of(number: Option<u8>, height: u32) -> Self {
        match number {
            Some(1) => Self::Bt709,
            Some(4..=6) => Self::Bt601,
            Some(7) => Self::Smpte240,
            Some(9 | 10) => Self::Bt2020,
            _ if height >= 720 => Self::Bt709,
            _ => Self::Bt601,
        }
    }

    /// What red and blue are of brightness.
    const fn weights(self) -> (f64, f64) {
        match self {
            Self::Bt601 => (0.299, 0.114),
            Self::Bt709 => (0.2126, 0.0722),
            Self::Bt2020 => (0.2627, 0.0593),
            Self::Smpte240 => (0.212, 0.087),
        }
    }
}

/// Binary digits behind the point.
const DIGITS: u32 = 16;

pub(super) fn rgb(picture: &Picture, look: Look) -> Vec<u8> {
    let (red, blue) = look.matrix.weights();
    let green = 1.0 - red - blue;
    let (black, luma, chroma) = if look.is_full { (0, 1.0, 1.0) } else { (16, 255.0 / 219.0, 255.0 / 224.0) };
    let fixed = |value: f64| (value * f64::from(1 << DIGITS)).round() as i32;
    let luma = fixed(luma);
    let (v_red, u_blue) = (fixed(2.0 * (1.0 - red) * chroma), fixed(2.0 * (1.0 - blue) * chroma));
    let u_green = fixed(2.0 * (1.0 - blue) * blue / green * chroma);
    let v_green = fixed(2.0 * (1.0 - red) * red / green * chroma);
    let half = 1 << (DIGITS - 1);
    let (width, wide) = (picture.width, picture.width.div_ceil(2));
    let mut rgb = vec![0; width * picture.height * 3];
    for (row, pixels) in rgb.chunks_exact_mut(width * 3).enumerate() {
        let lumas = &picture.y[row * width..][..width];
        let us = &picture.u[row / 2 * wide..][..wide];
        let vs = &picture.v[row / 2 * wide..][..wide];
        for ((pixels, lumas), (u, v)) in pixels.chunks_mut(6).zip(lumas.chunks(2)).zip(us.iter().zip(vs)) {
            let (u, v) = (i32::from(*u) - 128, i32::from(*v) - 128);
            let (to_red, to_blue) = (v * v_red + half, u * u_blue + half);
            let to_green = half - u * u_green - v * v_green;
            for (pixel, y) in pixels.chunks_exact_mut(3).zip(lumas) {
                let y = (i32::from(*y) - black) * luma;
                pixel[0] = ((y + to_red) >> DIGITS).clamp(0, 255) as u8;
                pixel[1] = ((y + to_green) >> DIGITS).clamp(0, 255) as u8;
                pixel[2] = ((y + to_blue) >> DIGITS).clamp(0, 255) as u8;
            }
        }
    }
    rgb
}
