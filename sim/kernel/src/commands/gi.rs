//! Generations in the words of `get-gi` and `show-gi`.

use drbd::core::Generations;
use drbd::meta::{MdFlags, PeerFlags};

/// Flags that this engine never sets.
const AL_DISABLED: u32 = 0x100;
const FENCING: u32 = 0x4;

/// The line of `get-gi`.
pub(crate) fn line(of: &Generations) -> String {
    let uuids = [of.current, of.bitmap, of.history[0], of.history[1]];
    let mut words: Vec<String> = uuids.iter().map(|uuid| format!("{:016X}", uuid.0)).collect();
    words.extend(flags(of).iter().map(|set| u8::from(*set).to_string()));
    words.join(":") + "\n"
}

/// In the order in which the tool has them.
fn flags(of: &Generations) -> [bool; 12] {
    let (own, peer) = (of.flags, of.peer_flags);
    [
        own.has(MdFlags::CONSISTENT),
        own.has(MdFlags::WAS_UP_TO_DATE),
        own.has(MdFlags::PRIMARY_IND),
        own.has(MdFlags::CRASHED_PRIMARY),
        own.has(MdFlags::AL_CLEAN),
        own.has(AL_DISABLED),
        own.has(MdFlags::PRIMARY_LOST_QUORUM),
        peer.has(PeerFlags::CONNECTED),
        peer.has(PeerFlags::OUTDATED),
        peer.has(FENCING),
        peer.has(PeerFlags::FULL_SYNC),
        peer.has(PeerFlags::DEVICE_SEEN),
    ]
}

/// What each flag is called under the line of `show-gi`, first to last, blanks and all.
const MEANINGS: [&str; 12] = [
    "-<  Data consistency flag  >--+",
    "-<  Data was/is currently up-to-date  >--+",
    "-<  Node was/is currently primary  >--+",
    "-<  This node was a crashed primary, and has not seen its peer since  >--+",
    "-<  The activity-log was applied, the disk can be attached  >--+",
    "-<  The activity-log was disabled, peer is completely out of sync  >--+",
    "-<  This node was primary when it lost quorum  >--+",
    "-<  Node was/is currently connected  >--+",
    "-<  The peer's disk was out-dated or inconsistent  >--+",
    "-<   A fence policy other the dont-care was used  >--+",
    "-<  Node was in the progress of marking all blocks as out of sync  >--+",
    "-<  At least once we saw this node with a backing device attached >--+",
];

/// `show-gi`: the line with arrows from its parts to their meaning.
pub(crate) fn explained(of: &Generations) -> String {
    const FIRST_FLAG: usize = 4 * 17;
    let uuids = [
        (7, "+--<  Current data generation UUID  >-"),
        (23, "+--<  Bitmap's base data generation UUID  >-"),
        (41, "+--<  younger history UUID  >-"),
        (51, "+-<  older history  >-"),
    ];
    let mut out = "\n".to_owned();
    let bars = |columns: &[usize], mark: char| -> String {
        let mut line = String::new();
        for column in columns {
            line.extend(std::iter::repeat_n(' ', column - line.chars().count()));
            line.push(mark);
        }
        line
    };
    let columns: Vec<usize> = uuids.iter().map(|(column, _)| *column).collect();
    for (index, (column, meaning)) in uuids.iter().enumerate() {
        let mut line = bars(&columns[..index], '|');
        line.extend(std::iter::repeat_n(' ', column - line.chars().count()));
        out += &format!("{line}{meaning}\n");
    }
    out += &format!("{}\n{}", bars(&columns, 'V'), line(of));
    let set: Vec<usize> = (0..MEANINGS.len()).map(|index| FIRST_FLAG + 2 * index).collect();
    out += &format!("{}\n", bars(&set, '^'));
    for (index, text) in MEANINGS.iter().enumerate() {
        let column = set[index];
        let pad = (column + 1).saturating_sub(text.len());
        let rest: String = set[index + 1..].iter().map(|_| " |").collect();
        out += &format!("{:pad$}{text}{rest}\n", "");
    }
    out + "\n"
}
