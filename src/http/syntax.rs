//! The character classes of RFC 9110, section 5.6, lists, and numbers.

const TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");
const HOST: [bool; 256] = table(b"-._~!$&'()*+,;=%");

/// Letters, digits and `others`.
const fn table(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

/// A character of a token (`tchar`).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// A character of a registered name or an IPv4 address (RFC 3986, section 3.2.2).
pub(crate) fn is_host_byte(byte: u8) -> bool {
    HOST[usize::from(byte)]
}

/// A character that may stand in a field value: visible, blank or above ASCII.
pub(crate) fn is_value_byte(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || byte == b'\t'
}

/// Whether `bytes` may be a field value (or a reason phrase).
///
/// Checks every byte and decides at the end, so that the compiler can vectorise it.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(true, |good, byte| good & is_value_byte(*byte))
}

/// `bytes` without the blanks around it (`OWS`).
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The elements of a comma-separated list, blanks removed, empty ones included.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

/// A `Content-Length`: digits and nothing else, in the range of a `u64`
/// (RFC 9110, section 8.6).
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Appends `number` in decimal.
pub(crate) fn write_decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes `number` in lower-case hexadecimal to the start of `out`, which has room for 16
/// digits. Returns how many digits there are.
pub(crate) fn write_hexadecimal(out: &mut [u8], number: u64) -> usize {
    let bits = u64::BITS - number.leading_zeros();
    let count = bits.div_ceil(4).max(1) as usize;
    for (place, digit) in out[..count].iter_mut().enumerate() {
        let shift = 4 * (count - 1 - place);
        *digit = b"0123456789abcdef"[((number >> shift) & 15) as usize];
    }
    count
}

pub(crate) fn hexadecimal(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_of_exactly_the_characters_of_the_rfc() {
        let tokens: Vec<u8> = (0..=255).filter(|byte| is_token_byte(*byte)).collect();

        assert_eq!(
            tokens,
            b"!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~"
        );
        assert!(!is_token(b""));
    }

    #[test]
    fn a_value_has_no_control_character_but_the_tab() {
        for byte in 0..=255 {
            let good = byte == 9 || (32..=126).contains(&byte) || byte >= 128;
            assert_eq!(is_value(&[b'a', byte, b'b']), good, "byte {byte}");
        }
    }

    #[test]
    fn numbers_are_digits_only_and_fit() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in [
            &b""[..],
            b"18446744073709551616",
            b"+1",
            b"-1",
            b"1 ",
            b"1,1",
            b"0x1",
            b"1_0",
            b"\xb2",
        ] {
            assert_eq!(decimal(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn numbers_are_written_as_rust_writes_them() {
        for number in [0, 1, 9, 10, 15, 16, 255, 4096, u64::MAX] {
            let mut out = Vec::new();

            write_decimal(&mut out, number);
            let mut digits = [0; 16];
            let count = write_hexadecimal(&mut digits, number);

            assert_eq!(out, number.to_string().as_bytes());
            assert_eq!(&digits[..count], format!("{number:x}").as_bytes());
        }
    }

    #[test]
    fn blanks_are_trimmed_on_both_sides() {
        assert_eq!(trim(b" \t a b\t "), b"a b");
        assert_eq!(trim(b" \t "), b"");
    }
}
