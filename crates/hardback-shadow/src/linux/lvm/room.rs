//! How much room each snapshot of a set gets that needs some of its own: as much as is wanted, or what there is.

use super::report::LogicalVolume;
use crate::provider::ShadowSize;

/// Fewest extents that are asked for: the table of what was overwritten takes a part of the first.
const EXTENTS_MIN: u64 = 2;

/// Returns for each volume how many extents its snapshot gets; none for thin ones. Those of one group share what is
/// free there in the proportion of what is wanted.
pub(super) fn extents(volumes: &[&LogicalVolume], size: ShadowSize) -> Vec<Option<u64>> {
    let wanted = |volume: &LogicalVolume| {
        let bytes = size.of_volume(volume.size_bytes());
        (!volume.is_thin()).then(|| bytes.div_ceil(volume.extent_bytes()).max(EXTENTS_MIN))
    };
    let share = |volume: &LogicalVolume| {
        let own = wanted(volume)?;
        let of_group = volumes.iter().filter(|other| other.group == volume.group);
        let all: u128 = of_group.filter_map(|other| wanted(other)).map(u128::from).sum();
        let free = u128::from(volume.free_extents());
        if all <= free {
            return Some(own);
        }
        // Where not even one is left, lvcreate tells.
        let share = u128::from(own) * free / all;
        Some(u64::try_from(share).unwrap_or(u64::MAX).max(1))
    };
    volumes.iter().map(|volume| share(volume)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::report::parse;
    use super::*;

    /// Volumes of a group with extents of 4 MiB: name of the group, size in extents, free extents.
    fn volumes(of: &[(&str, u64, u64)]) -> Vec<LogicalVolume> {
        let volume = |(group, size, free): &(&str, u64, u64)| {
            let size = size << 22;
            format!(
                r#"{{"vg_name":"{group}","lv_name":"a","lv_attr":"-wi-ao----","lv_size":"{size}","vg_extent_size":"4194304","vg_free_count":"{free}"}}"#
            )
        };
        let text = of.iter().map(volume).collect::<Vec<_>>().join(",");
        parse(&format!(r#"{{"report":[{{"lv":[{text}]}}]}}"#)).unwrap()
    }

    #[track_caller]
    fn check(of: &[(&str, u64, u64)], size: ShadowSize, expected: &[u64]) {
        let volumes = volumes(of);
        let found: Vec<u64> = extents(&volumes.iter().collect::<Vec<_>>(), size).into_iter().flatten().collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_snapshot_gets_what_is_wanted_or_what_there_is() {
        let fifth = ShadowSize::default();
        check(&[("g", 100, 50)], fifth, &[20]);
        check(&[("g", 100, 7)], fifth, &[7]);
        check(&[("g", 3, 50)], fifth, &[2]);
        check(&[("g", 100, 0)], fifth, &[1]);
        check(&[("g", 101, 50)], fifth, &[21]);
        check(&[("g", 100, 50)], ShadowSize::Bytes(1), &[2]);
        check(&[("g", 100, 50)], ShadowSize::Bytes(10 << 22), &[10]);
        check(&[("g", 100, 500)], ShadowSize::Part(10_000), &[100]);
    }

    #[test]
    fn those_of_a_group_share_what_is_free() {
        let fifth = ShadowSize::default();
        check(&[("g", 100, 30), ("h", 100, 20), ("g", 200, 30)], fifth, &[10, 20, 20]);
        check(&[("g", 100, 60), ("g", 200, 60)], fifth, &[20, 40]);
        check(&[("g", 100, 1), ("g", 200, 1)], fifth, &[1, 1]);
    }

    #[test]
    fn a_thin_one_needs_none_of_its_own() {
        let thin =
            r#"{"report":[{"lv":[{"vg_name":"g","lv_attr":"Vwi-aotz--","pool_lv":"p","lv_size":"419430400"}]}]}"#;
        let thin = parse(thin).unwrap();
        assert_eq!(extents(&[&thin[0]], ShadowSize::default()), [None]);
    }
}
