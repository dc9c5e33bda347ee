//! `one-primary`: never two Primaries of one resource that can see each other.
//!
//! Two nodes that are Primary while each of them has the other as Connected break the promise,
//! whatever the quorum settings (no scenario allows two primaries). A Primary that was cut off and
//! has not noticed yet, or that is frozen, may overlap with its successor: whether it can do harm
//! then is `quorum-is-exclusive`.

use drbd::state::Role;

/// Its name.
pub const NAME: &str = "one-primary";

/// Finds a pair of Primaries that are connected. `connected(a, b)`: a has b as Connected.
pub fn check(
    roles: &[Role],
    connected: impl Fn(usize, usize) -> bool,
) -> Result<(), (usize, usize)> {
    for (a, role) in roles.iter().enumerate() {
        for (b, other) in roles.iter().enumerate().skip(a + 1) {
            let both = *role == Role::Primary && *other == Role::Primary;
            if both && connected(a, b) && connected(b, a) {
                return Err((a, b));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connected_primaries_are_caught_and_others_are_not() {
        let roles = [Role::Primary, Role::Secondary, Role::Primary];
        assert_eq!(check(&roles, |_, _| true), Err((0, 2)));
        assert_eq!(check(&roles, |a, b| (a, b) != (2, 0)), Ok(()));
        assert_eq!(check(&[Role::Primary, Role::Secondary], |_, _| true), Ok(()));
    }
}
