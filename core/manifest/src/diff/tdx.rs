//! Reference values for TDX.

use super::bits::{self, Bit::Demands};
use super::{Changes, differing, pairs};
use crate::reference::{TdxReference, ToleratedStatus};

pub(super) fn compare(old: &[TdxReference], new: &[TdxReference], changes: &mut Changes) {
    let (mut removed, mut added) = differing(old, new);
    // the same guest under other conditions; else the only entry of its size
    let mut same = pairs(&mut removed, &mut added, |entry| Some((entry.mr_td?, entry.rtmrs?, entry.mr_seam)));
    same.extend(pairs(&mut removed, &mut added, |entry| Some((entry.mr_td?, entry.rtmrs?))));
    same.extend(pairs(&mut removed, &mut added, |entry| Some(entry.cpus)));
    for (old, new) in same {
        fields(old, new, changes);
    }
    for entry in added {
        changes.weaker(&exact_place(entry), "one more platform is accepted");
    }
    for entry in removed {
        changes.stronger(&exact_place(entry), "this platform is no longer accepted");
    }
}

fn exact_place(entry: &TdxReference) -> String {
    let cpus = entry.cpus.map(|cpus| format!("{cpus} CPUs")).unwrap_or_default();
    format!("ReferenceValues.tdx[{cpus}].{}", entry.mr_td.map(hex::encode).unwrap_or_default())
}

fn fields(old: &TdxReference, new: &TdxReference, changes: &mut Changes) {
    // one list of all members: a new one does not compile without its comparison
    let TdxReference {
        mr_td,
        mr_seam,
        rtmrs,
        xfam,
        min_tcb_evaluation_data_number,
        allowed_piids,
        memory_integrity,
        smt_disabled,
        static_platform,
        tolerated_tcb_status,
        mr_owner,
        mr_owner_config,
        cpus,
        platform,
    } = old;
    // of a pair, both or neither; they may differ, and the place must be the same in both directions
    let place = match (old.cpus, new.cpus) {
        (Some(cpus), Some(other)) if cpus == other => format!("ReferenceValues.tdx[{cpus} CPUs]"),
        _ => "ReferenceValues.tdx[]".to_owned(),
    };
    let at = |member: &str| format!("{place}.{member}");
    let hex = |bytes: Option<&[u8]>| bytes.map(hex::encode);
    let slice = |bytes: &Option<[u8; 48]>| hex(bytes.as_ref().map(<[u8; 48]>::as_slice));
    changes.value(&at("MrTd"), "the measurement", slice(mr_td), slice(&new.mr_td));
    changes.value(&at("MrSeam"), "the TDX module", slice(mr_seam), slice(&new.mr_seam));
    let joined = |rtmrs: &Option<[[u8; 48]; 4]>| rtmrs.map(|rtmrs| rtmrs.map(hex::encode).join(" "));
    changes.value(&at("Rtmrs"), "run-time measurements", joined(rtmrs), joined(&new.rtmrs));
    let features = |xfam: &Option<[u8; 8]>| xfam.map(hex::encode);
    changes.value(&at("Xfam"), "extended features", features(xfam), features(&new.xfam));
    changes.floor(
        &at("MinTCBEvaluationDataNumber"),
        *min_tcb_evaluation_data_number,
        new.min_tcb_evaluation_data_number,
        true,
    );
    let instances = |list: &[[u8; 16]]| list.iter().map(hex::encode).collect::<Vec<_>>();
    let (from, to) = (instances(allowed_piids), instances(&new.allowed_piids));
    changes.allow_list(&at("AllowedPIIDs"), "platform instance", &from, &to);
    let switches = [
        ("MemoryIntegrity", Demands, *memory_integrity, new.memory_integrity),
        ("SMTDisabled", Demands, *smt_disabled, new.smt_disabled),
        ("StaticPlatform", Demands, *static_platform, new.static_platform),
    ];
    bits::compare(&place, &switches, changes);
    let (from, to) = (tolerated(tolerated_tcb_status), tolerated(&new.tolerated_tcb_status));
    changes.set(&at("ToleratedTCBStatus"), "the TCB status", &from, &to);
    for (name, old, new) in
        [("MrOwner", mr_owner, &new.mr_owner), ("MrOwnerConfig", mr_owner_config, &new.mr_owner_config)]
    {
        changes.note(&at(name), Some(&hex::encode(old)), Some(&hex::encode(new)));
    }
    let number = |cpus: Option<u64>| cpus.map(|cpus| cpus.to_string());
    changes.note(&at("CPUs"), number(*cpus).as_deref(), number(new.cpus).as_deref());
    changes.note(&at("Platform"), platform.as_deref(), new.platform.as_deref());
}

/// Each status by itself and with each advisory that it may come with.
fn tolerated(list: &[ToleratedStatus]) -> Vec<String> {
    let mut each = Vec::new();
    for ToleratedStatus { status, advisories } in list {
        each.push(status.to_string());
        each.extend(advisories.iter().map(|advisory| format!("{status} with {advisory}")));
    }
    each
}
