//! Pictures in a terminal: by the protocol of Kitty or of iTerm2 where there is one, else in half blocks, two pixels in
//! a character.
//!
//! A terminal is known by what it says of itself in the environment. It is not asked, since what it answers would come
//! where a request's input is read.

use std::fmt::Write;
use std::io::IsTerminal;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use corn_core::Image;
use corn_media::{Format, write_image};

/// Bytes of base64 in one command of Kitty's, as its protocol bounds them.
const KITTY_CHUNK: usize = 4096;
/// Most columns of a picture in half blocks.
const MOST_COLUMNS: u32 = 100;
/// Most pixels from top to bottom of one; what is very tall becomes narrow.
const MOST_HEIGHT: u32 = 400;
/// Pixels of a column, about: pictures that are wider than the terminal are brought to its width.
const COLUMN_PIXELS: u32 = 8;

/// How a terminal shows pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Kitty,
    Iterm,
    /// In colours of 24 bits.
    Blocks,
    /// In the 6 × 6 × 6 colours that terminals with 256 have.
    CubeBlocks,
}

/// Whether standard output can show pictures.
pub(super) fn can_be_shown() -> bool {
    std::io::stdout().is_terminal() && way(|name| std::env::var(name).ok()).is_some()
}

/// What shows the picture on the terminal, with its line end; nothing where it cannot be shown.
pub(super) fn shown(image: &Image) -> Result<String, String> {
    let Some(way) = way(|name| std::env::var(name).ok()) else { return Ok(String::new()) };
    let columns = terminal_size::terminal_size().map_or(80, |(width, _)| u32::from(width.0));
    let png = || write_image(image, Format::Png).map_err(|error| error.to_string());
    let is_wide = image.width > columns.saturating_mul(COLUMN_PIXELS);
    Ok(match way {
        Way::Kitty => kitty(&png()?, is_wide.then_some(columns)),
        Way::Iterm => iterm(&png()?, is_wide),
        Way::Blocks => blocks(image, columns.min(MOST_COLUMNS), true_colour),
        Way::CubeBlocks => blocks(image, columns.min(MOST_COLUMNS), cube_colour),
    })
}

fn way(variable: impl Fn(&str) -> Option<String>) -> Option<Way> {
    let term = variable("TERM").unwrap_or_default();
    let program = variable("TERM_PROGRAM").unwrap_or_default();
    // What stands between passes on text and colours, but no pictures.
    let is_direct = variable("TMUX").is_none() && !term.starts_with("screen");
    if term.is_empty() || term == "dumb" {
        None
    } else if is_direct && (term.contains("kitty") || term.contains("ghostty") || program == "ghostty") {
        Some(Way::Kitty)
    } else if is_direct && matches!(program.as_str(), "iTerm.app" | "WezTerm" | "mintty") {
        Some(Way::Iterm)
    } else if variable("COLORTERM").is_some_and(|depth| depth == "truecolor" || depth == "24bit") {
        Some(Way::Blocks)
    } else {
        Some(Way::CubeBlocks)
    }
}

fn kitty(png: &[u8], columns: Option<u32>) -> String {
    let text = BASE64.encode(png);
    let mut shown = String::new();
    let mut rest = text.as_str();
    let mut head = columns.map_or("a=T,f=100,".to_owned(), |columns| format!("a=T,f=100,c={columns},"));
    while !rest.is_empty() {
        let (chunk, later) = rest.split_at(rest.len().min(KITTY_CHUNK));
        let more = u8::from(!later.is_empty());
        let _ = write!(shown, "\x1b_G{head}m={more};{chunk}\x1b\\");
        head.clear();
        rest = later;
    }
    shown + "\n"
}

fn iterm(png: &[u8], is_wide: bool) -> String {
    let width = if is_wide { "100%" } else { "auto" };
    let (size, text) = (png.len(), BASE64.encode(png));
    format!("\x1b]1337;File=inline=1;size={size};width={width};preserveAspectRatio=1:{text}\x07\n")
}

/// Rows of `▀`, whose colour is the upper pixel and whose ground is the lower one.
fn blocks(image: &Image, columns: u32, colour: fn([u8; 3]) -> String) -> String {
    if image.width == 0 || image.height == 0 || columns == 0 {
        return String::new();
    }
    let scaled =
        |pixels: u32, by: u32, of: u32| (u64::from(pixels) * u64::from(by)).div_ceil(u64::from(of)) as u32;
    let width = image.width.min(columns).min(scaled(image.width, MOST_HEIGHT, image.height));
    let height = scaled(image.height, width, image.width).min(MOST_HEIGHT);
    let mut shown = String::new();
    for row in (0..height).step_by(2) {
        for column in 0..width {
            let upper = mean(image, (column, width), (row, height));
            let _ = write!(shown, "\x1b[38;{}", colour(upper));
            if row + 1 < height {
                let lower = mean(image, (column, width), (row + 1, height));
                let _ = write!(shown, ";48;{}", colour(lower));
            }
            shown.push_str("m▀");
        }
        shown.push_str("\x1b[0m\n");
    }
    shown
}

/// The mean colour of the part of a picture that becomes this pixel of so many.
fn mean(image: &Image, (column, columns): (u32, u32), (row, rows): (u32, u32)) -> [u8; 3] {
    let span = |place: u32, of: u32, pixels: u32| {
        let edge = |place: u32| (u64::from(place) * u64::from(pixels) / u64::from(of)) as usize;
        edge(place)..edge(place + 1).max(edge(place) + 1).min(pixels as usize)
    };
    let (mut sum, mut count) = ([0u64; 3], 0);
    for y in span(row, rows, image.height) {
        for x in span(column, columns, image.width) {
            let at = (y * image.width as usize + x) * 3;
            if let Some(pixel) = image.rgb.get(at..at + 3) {
                for (sum, channel) in sum.iter_mut().zip(pixel) {
                    *sum += u64::from(*channel);
                }
                count += 1;
            }
        }
    }
    sum.map(|sum| sum.checked_div(count).unwrap_or(0) as u8)
}

fn true_colour([red, green, blue]: [u8; 3]) -> String {
    format!("2;{red};{green};{blue}")
}

fn cube_colour(pixel: [u8; 3]) -> String {
    // The cube's levels are 0, 95, 135, 175, 215 and 255.
    let [red, green, blue] = pixel.map(|channel| match channel {
        0..48 => 0u8,
        48..115 => 1,
        _ => (channel - 35) / 40,
    });
    format!("5;{}", 16 + 36 * red + 6 * green + blue)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: u32, height: u32, rgb: &[u8]) -> Image {
        Image { width, height, rgb: rgb.to_vec().into() }
    }

    #[test]
    fn a_terminal_is_known_by_what_it_says() {
        let of = |said: &'static [(&str, &str)]| {
            way(move |name| said.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("TERM", "dumb")]), None);
        assert_eq!(of(&[("TERM", "xterm-kitty")]), Some(Way::Kitty));
        assert_eq!(of(&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "iTerm.app")]), Some(Way::Iterm));
        assert_eq!(of(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")]), Some(Way::Blocks));
        assert_eq!(of(&[("TERM", "xterm-kitty"), ("TMUX", "/tmp/t")]), Some(Way::CubeBlocks));
    }

    #[test]
    fn half_blocks_have_two_pixels() {
        let four = image(2, 2, &[255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9]);
        let row = "\x1b[38;2;255;0;0;48;2;0;0;255m▀\x1b[38;2;0;255;0;48;2;9;9;9m▀\x1b[0m\n";
        assert_eq!(blocks(&four, 80, true_colour), row);
        // In one column it is the mean, and nothing is below.
        assert_eq!(blocks(&four, 1, true_colour), "\x1b[38;2;66;66;66m▀\x1b[0m\n");
        assert_eq!(blocks(&image(1, 1, &[255, 0, 135]), 80, cube_colour), "\x1b[38;5;198m▀\x1b[0m\n");
        assert_eq!(blocks(&image(0, 0, &[]), 80, true_colour), "");
        assert_eq!(blocks(&image(4000, 1, &[7; 12_000]), 3, true_colour).matches('▀').count(), 3);
    }

    #[test]
    fn kitty_gets_pieces() {
        let shown = kitty(&[0; 4000], Some(80));
        let pieces: Vec<&str> = shown.split("\x1b\\").collect();
        assert_eq!(pieces.len(), 3, "{shown}");
        assert!(pieces[0].starts_with("\x1b_Ga=T,f=100,c=80,m=1;AAAA") && pieces[0].ends_with('A'));
        assert_eq!(pieces[0].len(), "\x1b_Ga=T,f=100,c=80,m=1;".len() + KITTY_CHUNK);
        assert!(pieces[1].starts_with("\x1b_Gm=0;AAAA") && pieces[1].ends_with("=="), "{}", pieces[1]);
        assert_eq!(pieces[2], "\n");
    }

    #[test]
    fn iterm_gets_a_file() {
        let expected = "\x1b]1337;File=inline=1;size=3;width=auto;preserveAspectRatio=1:YWJj\x07\n";
        assert_eq!(iterm(b"abc", false), expected);
    }
}
