//! What a run cannot do for want of rights is said before it begins.

use crate::ui::Ui;
use hardback_engine::system::{MissingRights, missing_rights};

/// Says it once, where anything is missing.
pub(crate) fn tell_missing(ui: &Ui) {
    if let Some(text) = text(&missing_rights()) {
        ui.notice(&text);
    }
}

fn text(missing: &MissingRights) -> Option<String> {
    if missing.is_empty() {
        return None;
    }
    let list: String = missing.cannot.iter().map(|what| format!("\n  {what}")).collect();
    Some(format!("with the rights that hardback has here, it cannot{list}\n  to let it: {}", missing.how))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_one_notice_with_the_way_out() {
        let missing = MissingRights { cannot: vec!["read this", "see that"], how: "ask" };
        let expected = "with the rights that hardback has here, it cannot\n  read this\n  see that\n  to let it: ask";
        assert_eq!(text(&missing).as_deref(), Some(expected));
        assert_eq!(text(&MissingRights::default()), None);
    }
}
