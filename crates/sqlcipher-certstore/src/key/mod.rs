//! Where the key comes from that wraps the database key.

mod command;
mod credential;
mod file;

pub use command::CommandKeySource;
pub use credential::CredentialKeySource;
pub use file::FileKeySource;

use zeroize::Zeroizing;
use zmon_ports::WrappingKey;

const KEY_LENGTH: usize = 32;
/// More than any form of a key has, so that too much is told from enough.
const MOST: usize = 2 * KEY_LENGTH + 2;

/// A key as other programs give it: 32 raw bytes, or 64 hexadecimal digits with at most one newline behind them.
///
/// The error says what is wrong and holds nothing of the text.
fn parse(text: &[u8]) -> Result<WrappingKey, &'static str> {
    let mut key = Zeroizing::new([0; KEY_LENGTH]);
    let digits = text.strip_suffix(b"\n").unwrap_or(text);
    if text.len() == KEY_LENGTH {
        key.copy_from_slice(text);
    } else if digits.len() == 2 * KEY_LENGTH && digits.iter().all(u8::is_ascii_hexdigit) {
        for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
            *byte = pair.iter().fold(0, |byte, digit| (byte << 4) | nibble(*digit));
        }
    } else {
        return Err("it is neither 32 bytes nor 64 hexadecimal digits");
    }
    if key.iter().all(|byte| *byte == key[0]) {
        return Err("all of its bytes are the same, so it is no key; provision the hardware or the credential first");
    }
    Ok(WrappingKey::take(&mut key))
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &[u8; 64] = b"000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";

    #[test]
    fn it_takes_raw_bytes_and_hexadecimal_digits() {
        let raw: [u8; 32] = core::array::from_fn(|at| at as u8);
        let line = [DIGITS.as_slice(), b"\n"].concat();
        for text in [raw.as_slice(), DIGITS, &line] {
            assert_eq!(parse(text).unwrap().expose(), &raw);
        }
        // 31 bytes and a newline are 32 bytes.
        let mut ends = raw;
        ends[31] = b'\n';
        assert_eq!(parse(&ends).unwrap().expose(), &ends);
    }

    #[test]
    fn it_takes_nothing_else() {
        let with = |tail: &[u8]| [DIGITS.as_slice(), tail].concat();
        let mut letter = *DIGITS;
        letter[7] = b'g';
        for text in [
            b"".as_slice(),
            &[1; 31],
            &[1; 33],
            &DIGITS[..63],
            &with(b"0"),
            &with(b"\r\n"),
            &with(b"\n\n"),
            &letter,
        ] {
            assert!(parse(text).unwrap_err().contains("neither"), "{text:?}");
        }
        for text in [[0; 32].as_slice(), &[0xff; 32], &[b'0'; 64], &[b'f'; 64]] {
            assert!(parse(text).unwrap_err().contains("no key"), "{text:?}");
        }
    }
}
