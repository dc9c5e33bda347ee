//! A cluster that falls into parts and comes together again, with engines that notice by
//! themselves: quorum is in one part at most.

use crate::cluster::Cluster;
use crate::verbs::up;
use drbd::state::Role;

/// Every way in which one part falls in two or two parts meet. (Who goes over from one part to
/// another is alone for a while, or connects them.)
pub fn steps(parts: &[u32]) -> Vec<Vec<u32>> {
    let mut all = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        let rest = || parts.iter().enumerate().filter(move |(j, _)| *j != i).map(|(_, part)| *part);
        // The half with the lowest node of the part.
        let lowest = part & part.wrapping_neg();
        for half in (1..*part).filter(|half| half & !part == 0 && half & lowest != 0) {
            all.push(rest().chain([half, part & !half]).collect());
        }
        for (j, other) in parts.iter().enumerate().skip(i + 1) {
            let others = parts.iter().enumerate().filter(|(k, _)| *k != i && *k != j);
            all.push(others.map(|(_, part)| *part).chain([part | other]).collect());
        }
    }
    all
}

/// The nodes are in these parts from now on, and have noticed.
fn separate(c: &mut Cluster, parts: &[u32]) {
    let together =
        |a: usize, b: usize| parts.iter().any(|part| part & (1 << a) != 0 && part & (1 << b) != 0);
    for b in 0..c.nodes.len() {
        for a in 0..b {
            match together(a, b) {
                true => c.mend(a, b),
                false if !c.net.is_cut(a, b) => c.cut(a, b),
                false => {}
            }
        }
    }
    c.settle();
}

fn assert_one_part_has_quorum(c: &Cluster, parts: &[u32]) -> u64 {
    let has = |part: &&u32| (0..c.nodes.len()).any(|n| *part & (1 << n) != 0 && c.quorum(n));
    let quorate: Vec<&u32> = parts.iter().filter(has).collect();
    assert!(quorate.len() <= 1, "{parts:?}:\n{}", c.status());
    quorate.len() as u64
}

/// What became of the cluster after these steps, each one of the ways that there are.
fn after(diskful: &[bool], primary: bool, path: &[usize]) -> Option<(Cluster, Vec<u32>)> {
    let mut c = up(diskful);
    if primary {
        c.promote(0);
        c.put(0, 1, 1);
    }
    let mut parts: Vec<u32> = vec![(1 << diskful.len()) - 1];
    for step in path {
        parts = steps(&parts).get(*step)?.clone();
        separate(&mut c, &parts);
    }
    Some((c, parts))
}

/// Every sequence of steps of this length; returns how many states had a part with quorum.
fn walk(diskful: &[bool], primary: bool, path: &mut Vec<usize>, depth: usize) -> u64 {
    let mut kept = 0;
    for step in 0.. {
        path.push(step);
        let Some((mut c, parts)) = after(diskful, primary, path) else {
            path.pop();
            return kept;
        };
        kept += assert_one_part_has_quorum(&c, &parts);
        let promoted: Vec<usize> =
            (0..c.nodes.len()).filter(|n| c.role(*n) == Role::Primary).collect();
        assert!(promoted.len() <= 1, "{path:?}:\n{}", c.status());
        if path.len() == depth {
            // Everybody finds together again.
            c.mend_all();
            c.settle();
            c.assert_all_good();
        } else {
            kept += walk(diskful, primary, path, depth);
        }
        path.pop();
    }
    kept
}

/// Goal: two parts never both have quorum, and whatever happened, everybody finds together again.
/// Topology: two to five nodes, with and without disks, with a Primary and without. Method: every
/// two splits and reunions, three where the cluster is small.
#[test]
fn quorum_is_in_one_part_at_most() {
    let mut kept = 0;
    for nodes in 2..=5usize {
        for copies in 1..=nodes {
            let diskful: Vec<bool> = (0..nodes).map(|n| n < copies).collect();
            let depth = if nodes <= 3 { 3 } else { 2 };
            for primary in [false, true] {
                kept += walk(&diskful, primary, &mut Vec::new(), depth);
            }
        }
    }
    assert!(kept > 500, "{kept}");
}
