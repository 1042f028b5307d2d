//! In which order conditions are examined, and which of those that are executed become the sample.

use std::collections::BTreeMap;

use super::Options;
use super::object::{Kind, Site};
use super::record::Group;
use super::stage::Part;
use crate::Digest;

/// Conditions with breakpoints in the first round. Each executed one costs a case two switches between processes.
const ROUND: usize = 8_000;
/// Other kinds than jumps have this part of the sample each.
const OTHER_KINDS: usize = 4;

/// A condition among those of all parts.
pub(super) struct Condition<'a> {
    pub(super) part: usize,
    pub(super) site: &'a Site,
    /// Its place in the order of drawing.
    pub(super) rank: usize,
    /// Cases that execute it, by number: the visible ones come first.
    pub(super) cases: Vec<usize>,
    pub(super) groups: Vec<Group>,
}

/// The order in which conditions are examined, and how far the examination has come.
///
/// The order is that of a hash over seed, file and place: it depends neither on the cases nor on what else is executed, so
/// that two measurements before and after a change of the families draw alike. What is executed among the first
/// conditions of the order is a random sample of all that is executed.
pub(super) struct Draw {
    /// The place of each condition in the order, by its number.
    rank: Vec<usize>,
    /// The program's own conditions, in this order, of which the first are examined in the first round.
    own_first: Vec<bool>,
    /// How many of the order are examined.
    done: usize,
    step: usize,
}

impl Draw {
    pub(super) fn new(parts: &[Part], options: Options) -> Self {
        let mut order: Vec<(Digest, usize, bool)> = Vec::new();
        for part in parts {
            for site in &part.object.sites {
                let key = format!("{} {} {}", options.seed, part.digest, site.offset);
                let own = part.object.names.is_own(site.address) == Some(true);
                order.push((Digest::of(key.as_bytes()), order.len(), own));
            }
        }
        let count = order.len();
        order.sort_unstable();
        let (mut rank, mut own_first) = (vec![0; count], vec![false; count]);
        let mut own_left = ROUND;
        for (place, (_, number, own)) in order.into_iter().enumerate() {
            rank[number] = place;
            if own && own_left > 0 {
                own_left -= 1;
                own_first[number] = true;
            }
        }
        Draw {
            rank,
            own_first,
            done: 0,
            step: ROUND,
        }
    }

    /// Marks what is to be examined next.
    pub(super) fn next(&mut self) -> Vec<bool> {
        let (first, from) = (self.done == 0, self.done);
        self.done = (self.done + self.step).min(self.rank.len());
        // What is rare takes many rounds; a round costs as much for its cases as for its stops.
        self.step *= 2;
        let wanted = |number: usize| {
            let rank = self.rank[number];
            let now = (from..self.done).contains(&rank);
            match first {
                true => now || self.own_first[number],
                false => now && !self.own_first[number],
            }
        };
        (0..self.rank.len()).map(wanted).collect()
    }

    pub(super) fn is_done(&self) -> bool {
        self.done == self.rank.len()
    }

    pub(super) fn examined(&self, parts: &[Part], kind: Kind) -> usize {
        let sites = parts.iter().flat_map(|part| &part.object.sites);
        let ranks = self.rank.iter().zip(sites);
        let of = |(rank, site): &(&usize, &Site)| **rank < self.done && site.kind == kind;
        ranks.filter(of).count()
    }
}

/// The conditions that at least one case executes, in the order of drawing, and to which groups each belongs.
pub(super) fn conditions<'a>(
    parts: &'a [Part],
    executed: &[Vec<u32>],
    draw: &Draw,
) -> Vec<Condition<'a>> {
    let mut conditions: Vec<Condition<'a>> = parts
        .iter()
        .enumerate()
        .flat_map(|(part, of)| {
            of.object.sites.iter().map(move |site| Condition {
                part,
                site,
                rank: 0,
                cases: Vec::new(),
                groups: Vec::new(),
            })
        })
        .collect();
    for (condition, &rank) in conditions.iter_mut().zip(&draw.rank) {
        condition.rank = rank;
    }
    for (case, sites) in executed.iter().enumerate() {
        for &site in sites {
            conditions[site as usize].cases.push(case);
        }
    }
    conditions.retain(|condition| !condition.cases.is_empty());
    conditions.sort_by_key(|condition| condition.rank);
    for condition in &mut conditions {
        let in_order = condition.rank < draw.done;
        let by_some = condition.cases.len() < executed.len();
        let names = &parts[condition.part].object.names;
        let own = by_some && names.is_own(condition.site.address) == Some(true);
        let groups = [
            (in_order, Group::All),
            (in_order && by_some, Group::Some),
            (own, Group::Own),
        ];
        condition.groups = groups
            .into_iter()
            .filter_map(|(belongs, group)| belongs.then_some(group))
            .collect();
    }
    conditions
}

fn wanted(kind: Kind, options: Options) -> usize {
    match kind {
        Kind::Jump => options.sample,
        _ => options.sample.div_ceil(OTHER_KINDS),
    }
}

/// Whether a sample can be drawn of every kind.
pub(super) fn is_enough(conditions: &[Condition<'_>], options: Options) -> bool {
    Kind::ALL.into_iter().all(|kind| {
        let of = |condition: &&Condition<'_>| {
            condition.site.kind == kind && condition.groups.contains(&Group::Some)
        };
        conditions.iter().filter(of).count() >= wanted(kind, options)
    })
}

/// Draws, for each kind and group, as many conditions as wanted, each with the groups that it was drawn for.
pub(super) fn sample<'a>(
    conditions: &'a [Condition<'a>],
    options: Options,
) -> Vec<(&'a Condition<'a>, Vec<Group>)> {
    let mut drawn: BTreeMap<(Kind, Group), usize> = BTreeMap::new();
    let mut sample = Vec::new();
    for condition in conditions {
        let kind = condition.site.kind;
        let mut groups = condition.groups.clone();
        groups.retain(|&group| {
            let count = drawn.entry((kind, group)).or_default();
            *count += 1;
            *count <= wanted(kind, options)
        });
        if !groups.is_empty() {
            sample.push((condition, groups));
        }
    }
    sample
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strength::object::Object;

    fn part() -> Part {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        Part {
            at: "/test".into(),
            digest: Digest::of(&bytes),
            object: Object::read(bytes).unwrap(),
        }
    }

    fn options(seed: u64) -> Options {
        Options { sample: 20, seed }
    }

    #[test]
    fn each_condition_is_examined_once_and_the_order_is_the_seeds() {
        let parts = [part()];
        let mut draw = Draw::new(&parts, options(1));
        let count = parts[0].object.sites.len();
        let mut times = vec![0; count];
        while !draw.is_done() {
            for (times, now) in times.iter_mut().zip(draw.next()) {
                *times += usize::from(now);
            }
        }
        assert!(times.iter().all(|&times| times == 1));
        assert_eq!(
            Kind::ALL
                .map(|kind| draw.examined(&parts, kind))
                .iter()
                .sum::<usize>(),
            count
        );
        assert_eq!(Draw::new(&parts, options(1)).rank, draw.rank);
        assert_ne!(Draw::new(&parts, options(2)).rank, draw.rank);
    }

    #[test]
    fn what_every_case_executes_counts_among_all_alone() {
        let parts = [part()];
        let mut draw = Draw::new(&parts, options(1));
        draw.next();
        let jumps: Vec<u32> = (0..parts[0].object.sites.len())
            .filter(|&number| {
                parts[0].object.sites[number].kind == Kind::Jump && draw.rank[number] < draw.done
            })
            .take(50)
            .map(|number| number as u32)
            .collect();
        // The first 30 by all of two cases, ten more by the first, the last ten by none.
        let executed = [jumps[..40].to_vec(), jumps[..30].to_vec()];
        let conditions = conditions(&parts, &executed, &draw);
        assert_eq!(conditions.len(), 40);
        assert!(conditions.is_sorted_by_key(|condition| condition.rank));
        let of = |group: Group| {
            conditions
                .iter()
                .filter(|one| one.groups.contains(&group))
                .count()
        };
        assert_eq!((of(Group::All), of(Group::Some)), (40, 10));
        assert!(!is_enough(&conditions, options(1)), "ten are not twenty");
        let sample = sample(&conditions, options(1));
        let drawn = |group: Group| {
            sample
                .iter()
                .filter(|(_, groups)| groups.contains(&group))
                .count()
        };
        assert_eq!((drawn(Group::All), drawn(Group::Some)), (20, 10));
        let first =
            |one: &(&Condition<'_>, Vec<Group>)| one.1.contains(&Group::All).then_some(one.0.rank);
        let all: Vec<usize> = sample.iter().filter_map(first).collect();
        let expected: Vec<usize> = conditions[..20].iter().map(|one| one.rank).collect();
        assert_eq!(all, expected, "the first of the order");
    }
}
