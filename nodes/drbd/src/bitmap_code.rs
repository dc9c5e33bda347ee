//! How a bitmap is cut into packets for the wire: plain words (P_BITMAP), or lengths of runs in a
//! code of variable length (P_COMPRESSED_BITMAP), whichever is shorter. Pure functions of the bits.

/// Lengths of runs by level: bits of the whole code, bits of its prefix, the prefix. The lowest bit
/// comes first. A level covers the lengths that the levels before it do not.
const LEVELS: [(u32, u32, u64); 10] = [
    (2, 1, 0x0),
    (3, 2, 0x1),
    (5, 3, 0x3),
    (7, 4, 0x7),
    (10, 5, 0xf),
    (14, 6, 0x1f),
    (21, 8, 0x3f),
    (29, 8, 0x7f),
    (42, 8, 0xbf),
    (64, 8, 0xff),
];
/// The only encoding there is: run lengths, bitwise.
const RLE_VLI_BITS: u8 = 2;
/// The encoding byte says with this bit that the first run is one of set bits.
const STARTS_SET: u8 = 0x80;
/// Whole packets have at most so many bytes, header included.
const PACKET: usize = 4096;

/// What one packet carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// P_BITMAP: words, each with its lowest byte first; none at all ends a bitmap.
    Plain(Vec<u8>),
    /// P_COMPRESSED_BITMAP.
    Compressed {
        /// Kind of the code, bits that its last byte has too many, polarity of the first run.
        encoding: u8,
        /// Codes of the runs.
        code: Vec<u8>,
    },
}

/// A piece that no sender with a bitmap of this size makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed(pub &'static str);

/// The code of a run of `length` bits, and how many bits it has; `None` for 0 and for what no level
/// covers.
pub fn code_of(length: u64) -> Option<(u64, u32)> {
    let mut first = 1u64;
    for (total, prefix, value) in LEVELS {
        let count = 1u64 << (total - prefix);
        if length >= first && length - first < count {
            return Some(((length - first) << prefix | value, total));
        }
        first += count;
    }
    None
}

/// The run whose code stands at the low end of `bits`, and how many bits its code has.
fn run_at(bits: u64) -> (u64, u32) {
    let mut first = 1u64;
    for (total, prefix, value) in LEVELS {
        if bits & ((1 << prefix) - 1) == value {
            let mask = u64::MAX >> (64 - total);
            return (first + ((bits & mask) >> prefix), total);
        }
        first += 1 << (total - prefix);
    }
    unreachable!("every eight bits begin with some prefix")
}

/// Cuts a bitmap into pieces.
#[derive(Clone, Debug)]
pub struct Sender<'a> {
    words: &'a [u64],
    bits: u64,
    at: u64,
    room: usize,
    compress: bool,
    ended: bool,
}

impl<'a> Sender<'a> {
    /// All of `bits` bits of `words` (bit i being block i), in packets with a header of `header`
    /// bytes; `use-rle` says whether they may be compressed.
    pub fn new(words: &'a [u64], bits: u64, header: usize, compress: bool) -> Sender<'a> {
        Sender { words, bits, at: 0, room: PACKET - header, compress, ended: false }
    }

    fn is_set(&self, bit: u64) -> bool {
        self.words.get((bit / 64) as usize).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    /// Where the run that `from` is in ends.
    fn run_end(&self, from: u64) -> u64 {
        let set = self.is_set(from);
        let mut bit = from;
        while bit < self.bits {
            let word = self.words.get((bit / 64) as usize).copied().unwrap_or(0);
            let other = (if set { !word } else { word }) & (u64::MAX << (bit % 64));
            let base = bit - bit % 64;
            if other != 0 {
                return (base + u64::from(other.trailing_zeros())).min(self.bits);
            }
            bit = base + 64;
        }
        self.bits
    }

    /// As many runs as fit; `None` if plain words say more in as many bytes.
    fn compressed(&mut self) -> Option<Piece> {
        let mut out = Bits::default();
        let (start, most) = (self.at, (self.room - 1) * 8);
        let polarity = if self.is_set(start) { STARTS_SET } else { 0 };
        let mut at = start;
        while at < self.bits {
            let end = self.run_end(at);
            let Some((code, count)) = code_of(end - at) else { break };
            if out.count + count as usize > most {
                break;
            }
            out.push(code, count);
            at = end;
        }
        if at - start < out.bytes.len() as u64 * 8 {
            return None;
        }
        self.at = at;
        let pad = (out.bytes.len() * 8 - out.count) as u8;
        Some(Piece::Compressed { encoding: RLE_VLI_BITS | pad << 4 | polarity, code: out.bytes })
    }

    fn plain(&mut self) -> Piece {
        let first = self.at / 64;
        let left = self.bits.div_ceil(64) - first;
        let count = left.min((self.room / 8) as u64);
        let words = first..first + count;
        let word = |at: u64| self.words.get(at as usize).copied().unwrap_or(0);
        let bytes = words.flat_map(|at| word(at).to_le_bytes()).collect();
        self.at = ((first + count) * 64).min(self.bits);
        Piece::Plain(bytes)
    }
}

impl Iterator for Sender<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.ended {
            return None;
        }
        if self.at >= self.bits {
            // Whoever reads plain words learns from an empty packet that these were all.
            self.ended = true;
            return Some(Piece::Plain(Vec::new()));
        }
        let compressed = if self.compress { self.compressed() } else { None };
        match compressed {
            Some(piece) => {
                self.ended = self.at == self.bits;
                Some(piece)
            }
            None => Some(self.plain()),
        }
    }
}

/// Puts the pieces of a bitmap together.
#[derive(Clone, Debug)]
pub struct Receiver {
    words: Vec<u64>,
    bits: u64,
    at: u64,
    room: usize,
}

impl Receiver {
    /// For a bitmap of `bits` bits in packets with a header of `header` bytes.
    pub fn new(bits: u64, header: usize) -> Receiver {
        let words = vec![0; bits.div_ceil(64) as usize];
        Receiver { words, bits, at: 0, room: PACKET - header }
    }

    /// The bits so far.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Takes the next piece; `true`: it was the last.
    pub fn take(&mut self, piece: &Piece) -> Result<bool, Malformed> {
        match piece {
            Piece::Plain(bytes) => self.take_plain(bytes),
            Piece::Compressed { encoding, code } => self.take_compressed(*encoding, code),
        }
    }

    fn take_plain(&mut self, bytes: &[u8]) -> Result<bool, Malformed> {
        let first = (self.at / 64) as usize;
        // Behind the last bit there is no word left to send.
        let left = if self.at == self.bits { 0 } else { self.words.len() - first };
        if bytes.len() != left.min(self.room / 8) * 8 {
            return Err(Malformed("the length of plain words"));
        }
        for (into, from) in self.words[first..].iter_mut().zip(bytes.as_chunks::<8>().0) {
            *into |= u64::from_le_bytes(*from);
        }
        if let (Some(last), tail @ 1..) = (self.words.last_mut(), self.bits % 64) {
            *last &= (1 << tail) - 1;
        }
        self.at = ((first as u64 + bytes.len() as u64 / 8) * 64).min(self.bits);
        Ok(bytes.is_empty())
    }

    fn take_compressed(&mut self, encoding: u8, code: &[u8]) -> Result<bool, Malformed> {
        if encoding & 0xf != RLE_VLI_BITS {
            return Err(Malformed("the encoding"));
        }
        let pad = usize::from(encoding >> 4 & 7);
        let end = (code.len() * 8).checked_sub(pad).ok_or(Malformed("the pad bits"))?;
        let (mut set, mut read) = (encoding & STARTS_SET != 0, 0);
        while read < end {
            let (length, count) = run_at(bits_at(code, read));
            read += count as usize;
            if read > end {
                return Err(Malformed("a code that is cut off"));
            }
            let stop = self.at.checked_add(length).filter(|stop| !set || *stop <= self.bits);
            let stop = stop.ok_or(Malformed("a run behind the end"))?;
            if set {
                self.set(self.at, stop);
            }
            (self.at, set) = (stop, !set);
        }
        if self.at > self.bits {
            return Err(Malformed("a run behind the end"));
        }
        Ok(self.at == self.bits)
    }

    fn set(&mut self, mut bit: u64, end: u64) {
        while bit < end {
            let shift = bit % 64;
            let run = (64 - shift).min(end - bit);
            self.words[(bit / 64) as usize] |= u64::MAX >> (64 - run) << shift;
            bit += run;
        }
    }
}

/// 64 bits from a position on, the lowest first; zeros behind the end.
fn bits_at(bytes: &[u8], at: usize) -> u64 {
    let byte = |i: usize| u128::from(bytes.get(at / 8 + i).copied().unwrap_or(0));
    let wide = (0..9).fold(0u128, |wide, i| wide | byte(i) << (8 * i));
    (wide >> (at % 8)) as u64
}

/// A stream of bits, the lowest of each byte first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: usize,
}

impl Bits {
    fn push(&mut self, bits: u64, count: u32) {
        for i in 0..count {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let (1, Some(last)) = (bits >> i & 1, self.bytes.last_mut()) {
                *last |= 1 << (self.count % 8);
            }
            self.count += 1;
        }
    }
}
