//! PEM texts (RFC 7468) into blocks.
//!
//! The usual readers skip what they do not know: text between blocks, blocks of another label. Here both are facts, so
//! that no other reader of the same text finds something that was not examined.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;
use zmon_domain::certificate::{Block, MAX_PEM_BYTES, PemFacts};

/// Reads a text of at most `most` blocks that bear one of `labels`; `decode` takes a block's label and content.
///
/// The content may be a key: it is erased when `decode` returns.
pub(crate) fn read<T>(
    text: &str,
    most: usize,
    labels: &[&str],
    decode: impl Fn(&str, &[u8]) -> Option<T>,
) -> PemFacts<T> {
    if text.len() > MAX_PEM_BYTES {
        return PemFacts::TooLong;
    }
    let Some(blocks) = split(text) else {
        return PemFacts::StrayText;
    };
    if blocks.len() > most {
        return PemFacts::TooManyBlocks;
    }
    let read = |armoured: Armoured<'_>| {
        if !labels.contains(&armoured.label) {
            return Block::OtherLabel;
        }
        armoured
            .content()
            .and_then(|content| decode(armoured.label, &content))
            .map_or(Block::Unreadable, Block::Read)
    };
    PemFacts::Blocks(blocks.into_iter().map(read).collect())
}

/// One block, its base64 not decoded.
#[derive(Debug, PartialEq)]
struct Armoured<'a> {
    label: &'a str,
    body: &'a str,
}

impl Armoured<'_> {
    /// Strict base64 in constant time, line breaks wherever they are. Headers as in RFC 1421 are not base64.
    fn content(&self) -> Option<Zeroizing<Vec<u8>>> {
        let mut base64 = Zeroizing::new(Vec::with_capacity(self.body.len()));
        base64.extend(self.body.bytes().filter(|byte| !byte.is_ascii_whitespace()));
        let mut content = Zeroizing::new(vec![0; base64.len()]);
        let length = Base64::decode(base64.as_slice(), &mut content).ok()?.len();
        content.truncate(length);
        Some(content)
    }
}

/// The blocks of a text; none where anything but white space stands outside them or one does not end.
///
/// BEGIN and END stand on lines of their own. Where they do not, readers disagree about what the text says.
fn split(text: &str) -> Option<Vec<Armoured<'_>>> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, usize)> = None;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        let line = line.trim_ascii_end();
        match open {
            None if line.trim_ascii_start().is_empty() => {}
            None => {
                let label = line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
                open = Some((label, offset));
            }
            Some((label, body)) if line.starts_with('-') => {
                if line.strip_prefix("-----END ")?.strip_suffix("-----")? != label {
                    return None;
                }
                blocks.push(Armoured {
                    label,
                    body: &text[body..start],
                });
                open = None;
            }
            Some(_) => {}
        }
    }
    open.is_none().then_some(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str) -> PemFacts<Vec<u8>> {
        read(text, 2, &["X"], |_, content| Some(content.to_vec()))
    }

    fn contents(text: &str) -> Option<Vec<Vec<u8>>> {
        match read_all(text) {
            PemFacts::Blocks(blocks) => blocks
                .into_iter()
                .map(|block| match block {
                    Block::Read(content) => Some(content),
                    Block::OtherLabel | Block::Unreadable => None,
                })
                .collect(),
            PemFacts::TooLong | PemFacts::TooManyBlocks | PemFacts::StrayText => None,
        }
    }

    #[test]
    fn it_reads_blocks_with_any_line_ends_and_widths() {
        let expected = Some(vec![b"abcd".to_vec(), b"e".to_vec()]);
        for text in [
            "-----BEGIN X-----\nYWJjZA==\n-----END X-----\n-----BEGIN X-----\nZQ==\n-----END X-----\n",
            "\r\n-----BEGIN X-----\r\nYW\r\nJjZA\r\n==\r\n-----END X-----\r\n\r\n-----BEGIN X-----\r\n ZQ==\t\r\n-----END X-----",
        ] {
            assert_eq!(contents(text), expected, "{text:?}");
        }
    }

    #[test]
    fn it_takes_a_blank_text_for_no_blocks() {
        for text in ["", "\n", " \r\n\t"] {
            assert_eq!(contents(text), Some(vec![]), "{text:?}");
        }
    }

    #[test]
    fn it_finds_text_outside_the_blocks_and_blocks_that_do_not_end() {
        let block = "-----BEGIN X-----\nYWJjZA==\n-----END X-----";
        for text in [
            format!("hello\n{block}"),
            format!("{block}\nhello"),
            format!("{block}\n\u{feff}"),
            format!("\u{a0}\n{block}"),
            format!("{block}{block}"),
            format!(" {block}"),
            format!("{block} hello"),
            "-----BEGIN X-----\nYWJjZA==".into(),
            "-----BEGIN X-----\nYWJjZA==\n-----END Y-----".into(),
            "-----BEGIN X-----\n-----BEGIN X-----\nYWJjZA==\n-----END X-----".into(),
            "-----BEGIN X-----\rYWJjZA==\r-----END X-----".into(),
            "-----BEGIN X----- YWJjZA== -----END X-----".into(),
            "-----END X-----".into(),
        ] {
            assert!(matches!(read_all(&text), PemFacts::StrayText), "{text:?}");
        }
    }

    #[test]
    fn it_counts_and_measures_before_it_decodes() {
        let block = "-----BEGIN X-----\n*\n-----END X-----\n";
        assert!(matches!(read_all(&block.repeat(2)), PemFacts::Blocks(_)));
        assert!(matches!(read_all(&block.repeat(3)), PemFacts::TooManyBlocks));
        assert!(matches!(read_all(&" ".repeat(MAX_PEM_BYTES)), PemFacts::Blocks(_)));
        assert!(matches!(read_all(&" ".repeat(MAX_PEM_BYTES + 1)), PemFacts::TooLong));
    }

    #[test]
    fn it_tells_other_labels_and_bad_base64_apart() {
        let other = read_all("-----BEGIN Y-----\nYWJjZA==\n-----END Y-----");
        assert!(matches!(other, PemFacts::Blocks(blocks) if matches!(blocks[..], [Block::OtherLabel])));
        for body in [
            "YWJjZA=",
            "YWJjZA",
            "YWJjZB==",
            "Y*JjZA==",
            "Proc-Type: 4,ENCRYPTED\n\nYWJjZA==",
        ] {
            let facts = read_all(&format!("-----BEGIN X-----\n{body}\n-----END X-----"));
            assert!(
                matches!(facts, PemFacts::Blocks(blocks) if matches!(blocks[..], [Block::Unreadable])),
                "{body}"
            );
        }
    }
}
