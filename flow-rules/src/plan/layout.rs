//! Which queue is for what: numbers for the queues of classes, of the rest, and of "other".

use super::class::Class;

/// What needs queues.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// Classes that rules can bring to queues of their own.
    pub(super) steered: &'a [Class],
    /// Those of them that stay with the UDP packets that enclose them.
    pub(super) enclosed: &'a [Class],
    /// Queues of each class.
    pub(super) width: u16,
    /// Queues for what no rule matches.
    pub(super) rest: u16,
    /// Whether "other" has one beside that.
    pub(super) other: bool,
}

/// Queues by what they are for, numbered from 0.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Layout {
    /// Classes that share queues, and these queues: as many in each group, so that each group
    /// begins at a multiple of their number, as some devices need it.
    pub(super) groups: Vec<Group>,
    /// For what no rule matches.
    pub(super) rest: Vec<u16>,
    /// For "other", if not with the rest.
    pub(super) other: Option<u16>,
}

impl Layout {
    /// How many queues there are.
    pub(super) fn len(&self) -> u16 {
        let groups = self.groups.iter().map(|group| group.queues.len());
        let rest = self.rest.len() + self.other.iter().count();
        (groups.sum::<usize>() + rest) as u16
    }
}

/// Classes with the same queues.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Group {
    pub(super) classes: Vec<Class>,
    pub(super) queues: Vec<u16>,
}

impl Wanted<'_> {
    /// Queues for what is wanted, with as little sharing as possible; if all together do not fit
    /// `available`, how many would be needed at least.
    pub(super) fn fit(self, available: u16) -> Result<Layout, u32> {
        let mut needed = u32::MAX;
        for sharing in 0..=3 {
            needed = self.needed(sharing);
            if needed <= available.into() {
                return Ok(self.layout(sharing));
            }
        }
        Err(needed)
    }

    /// How many queues would do without sharing for want of queues.
    pub(super) fn needed_unshared(self) -> u32 {
        self.needed(0)
    }

    fn needed(self, sharing: u8) -> u32 {
        let groups = self.groups(sharing).len() as u32;
        groups * u32::from(self.width) + u32::from(self.rest) + u32::from(self.other)
    }

    fn layout(self, sharing: u8) -> Layout {
        let mut next = 0;
        let mut take = |count: u16| {
            let first = next;
            next += count;
            (first..next).collect::<Vec<_>>()
        };
        let groups = self.groups(sharing).into_iter();
        let groups = groups.map(|classes| Group {
            classes,
            queues: take(self.width),
        });
        Layout {
            groups: groups.collect(),
            rest: take(self.rest),
            other: take(self.other.into()).pop(),
        }
    }

    /// The classes that share queues.
    fn groups(self, sharing: u8) -> Vec<Vec<Class>> {
        let mut groups: Vec<(Class, Vec<Class>)> = Vec::new();
        for &class in self.steered {
            let enclosing = class.enclosing().filter(|_| self.enclosed.contains(&class));
            let key = enclosing.unwrap_or(class).shared_as(sharing);
            match groups.iter_mut().find(|(other, _)| *other == key) {
                Some((_, classes)) => classes.push(class),
                None => groups.push((key, vec![class])),
            }
        }
        groups.into_iter().map(|(_, classes)| classes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Class::{Ipv4Tcp, Ipv4Udp, Ipv4Vxlan, Ipv6Tcp, Ipv6Udp, Ipv6Vxlan};

    const ALL: [Class; 6] = [Ipv4Tcp, Ipv4Udp, Ipv4Vxlan, Ipv6Tcp, Ipv6Udp, Ipv6Vxlan];

    fn wanted(width: u16, enclosed: &[Class]) -> Wanted<'_> {
        Wanted {
            steered: &ALL,
            enclosed,
            width,
            rest: 1,
            other: false,
        }
    }

    fn shared(available: u16) -> Vec<Vec<Class>> {
        let layout = wanted(2, &[]).fit(available).expect("fits");
        layout
            .groups
            .into_iter()
            .map(|group| group.classes)
            .collect()
    }

    #[test]
    fn classes_share_as_little_as_possible() {
        assert_eq!(shared(13).len(), 6);
        let with_udp = [
            vec![Ipv4Tcp],
            vec![Ipv4Udp, Ipv4Vxlan],
            vec![Ipv6Tcp],
            vec![Ipv6Udp, Ipv6Vxlan],
        ];
        assert_eq!(shared(12), with_udp);
        assert_eq!(shared(9), with_udp);
        let both_versions = [
            vec![Ipv4Tcp, Ipv6Tcp],
            vec![Ipv4Udp, Ipv4Vxlan, Ipv6Udp, Ipv6Vxlan],
        ];
        assert_eq!(shared(8), both_versions);
        assert_eq!(shared(4), [ALL]);
        assert_eq!(wanted(2, &[]).fit(2), Err(3));
    }

    #[test]
    fn what_is_enclosed_shares_from_the_start() {
        let layout = wanted(1, &[Ipv4Vxlan]).fit(u16::MAX).expect("fits");
        assert_eq!(layout.groups.len(), 5);
        assert_eq!(layout.groups[1].classes, [Ipv4Udp, Ipv4Vxlan]);
    }

    #[test]
    fn queues_are_numbered_without_gaps() {
        let wanted = Wanted {
            other: true,
            rest: 2,
            ..wanted(4, &[])
        };
        let layout = wanted.fit(27).expect("fits");
        assert_eq!(layout.groups[5].queues, [20, 21, 22, 23]);
        assert_eq!((layout.rest, layout.other), (vec![24, 25], Some(26)));
    }
}
