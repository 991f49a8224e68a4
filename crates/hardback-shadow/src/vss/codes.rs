//! The codes that VSS answers with: what each means, whether another attempt may help, and what the user can do.

use std::fmt;
use std::time::Duration;

/// An `HRESULT`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Code(pub(crate) u32);

impl Code {
    pub(crate) const OK: Self = Self(0);
    pub(crate) const NOT_IMPLEMENTED: Self = Self(0x8000_4001);
    pub(crate) const UNEXPECTED: Self = Self(0x8000_FFFF);
    pub(crate) const ACCESS_DENIED: Self = Self(0x8007_0005);
    pub(crate) const OUT_OF_MEMORY: Self = Self(0x8007_000E);
    pub(crate) const SERVICE_DISABLED: Self = Self(0x8007_0422);
    pub(crate) const CLASS_NOT_REGISTERED: Self = Self(0x8004_0154);
    pub(crate) const BAD_STATE: Self = Self(0x8004_2301);
    pub(crate) const SERVICE_UNEXPECTED: Self = Self(0x8004_2302);
    pub(crate) const PROVIDER_VETO: Self = Self(0x8004_2306);
    pub(crate) const OBJECT_NOT_FOUND: Self = Self(0x8004_2308);
    pub(crate) const PENDING: Self = Self(0x0004_2309);
    pub(crate) const FINISHED: Self = Self(0x0004_230A);
    pub(crate) const CANCELLED: Self = Self(0x0004_230B);
    pub(crate) const VOLUME_NOT_SUPPORTED: Self = Self(0x8004_230C);
    pub(crate) const VOLUME_NOT_SUPPORTED_BY_PROVIDER: Self = Self(0x8004_230E);
    pub(crate) const PROVIDER_ERROR: Self = Self(0x8004_230F);
    pub(crate) const TOO_MANY_VOLUMES: Self = Self(0x8004_2312);
    pub(crate) const FLUSH_WRITES_TIMEOUT: Self = Self(0x8004_2313);
    pub(crate) const HOLD_WRITES_TIMEOUT: Self = Self(0x8004_2314);
    pub(crate) const WRITER_ERROR: Self = Self(0x8004_2315);
    pub(crate) const SET_IN_PROGRESS: Self = Self(0x8004_2316);
    pub(crate) const TOO_MANY_COPIES: Self = Self(0x8004_2317);
    pub(crate) const WRITER_INFRASTRUCTURE: Self = Self(0x8004_2318);
    pub(crate) const WRITER_NOT_RESPONDING: Self = Self(0x8004_2319);
    pub(crate) const VOLUME_IN_USE: Self = Self(0x8004_231D);
    pub(crate) const TOO_MANY_STORAGE_AREAS: Self = Self(0x8004_231E);
    pub(crate) const INSUFFICIENT_STORAGE: Self = Self(0x8004_231F);
    pub(crate) const REBOOT_REQUIRED: Self = Self(0x8004_2327);
    pub(crate) const TRANSACTION_FREEZE_TIMEOUT: Self = Self(0x8004_2328);
    pub(crate) const TRANSACTION_THAW_TIMEOUT: Self = Self(0x8004_2329);
    pub(crate) const VOLUME_NOT_LOCAL: Self = Self(0x8004_232D);
    pub(crate) const WRITER_INCONSISTENT: Self = Self(0x8004_23F0);
    pub(crate) const WRITER_OUT_OF_RESOURCES: Self = Self(0x8004_23F1);
    pub(crate) const WRITER_TIMEOUT: Self = Self(0x8004_23F2);
    pub(crate) const WRITER_RETRYABLE: Self = Self(0x8004_23F3);
    pub(crate) const WRITER_NOT_RETRYABLE: Self = Self(0x8004_23F4);

    /// Returns whether a call that answers so failed.
    #[cfg_attr(not(windows), allow(dead_code, reason = "calls that answer so are Windows'"))]
    pub(crate) fn is_failure(self) -> bool {
        self.0 & 0x8000_0000 != 0
    }

    /// Makes it of what a call answers.
    #[cfg_attr(not(windows), allow(dead_code, reason = "calls that answer so are Windows'"))]
    pub(crate) fn of(hresult: i32) -> Self {
        Self(hresult.cast_unsigned())
    }

    /// Returns how often another attempt may help, and how long is waited before it.
    pub(crate) fn retry(self) -> Option<Retry> {
        match self {
            // One set is made at a time on the whole computer, which takes no longer than minutes.
            Self::SET_IN_PROGRESS => Some(Retry { pause: Duration::from_secs(10), attempts: 30 }),
            // As Microsoft says: after ten minutes, up to three times.
            Self::FLUSH_WRITES_TIMEOUT | Self::HOLD_WRITES_TIMEOUT | Self::PROVIDER_VETO => {
                Some(Retry { pause: Duration::from_mins(10), attempts: 3 })
            }
            _ => None,
        }
    }

    /// Returns what it means, for people.
    pub(crate) fn meaning(self) -> Option<&'static str> {
        Some(match self {
            Self::NOT_IMPLEMENTED => "this Windows has no shadow copies",
            Self::UNEXPECTED => "something unexpected happened in the shadow copy service",
            Self::ACCESS_DENIED => "hardback does not run as an administrator",
            Self::OUT_OF_MEMORY => "there is not enough memory",
            Self::SERVICE_DISABLED => "the service \"Volume Shadow Copy\" is disabled",
            Self::CLASS_NOT_REGISTERED => "the shadow copy service is not installed properly",
            Self::BAD_STATE => "the calls came in an order that the shadow copy service does not know",
            Self::SERVICE_UNEXPECTED => "the shadow copy service met with an error that it has no name for",
            Self::PROVIDER_VETO => "the part of Windows that makes shadow copies refused",
            Self::OBJECT_NOT_FOUND => "it is not there any more",
            Self::CANCELLED => "it was cancelled",
            Self::VOLUME_NOT_SUPPORTED | Self::VOLUME_NOT_SUPPORTED_BY_PROVIDER => {
                "no shadow copy can be made of a volume of this kind"
            }
            Self::PROVIDER_ERROR => "the part of Windows that makes shadow copies failed",
            Self::TOO_MANY_VOLUMES => "these are more volumes than can be frozen together",
            Self::FLUSH_WRITES_TIMEOUT => "what is in memory could not be written to the disk in time",
            Self::HOLD_WRITES_TIMEOUT => "the volume could not be held still in time",
            Self::WRITER_ERROR => "a program that makes its data ready failed in an unexpected way",
            Self::SET_IN_PROGRESS => "another program is making a shadow copy",
            Self::TOO_MANY_COPIES => "the volume has as many shadow copies as it can have",
            Self::WRITER_INFRASTRUCTURE => "the programs that make their data ready cannot be reached",
            Self::WRITER_NOT_RESPONDING => "a program that makes its data ready does not answer",
            Self::VOLUME_IN_USE => "the volume is in use by something that prevents shadow copies",
            Self::TOO_MANY_STORAGE_AREAS => "the volume has as many places for shadow copies as it can have",
            Self::INSUFFICIENT_STORAGE => "there is not enough room for shadow copies",
            Self::REBOOT_REQUIRED => "the computer has to be restarted first",
            Self::TRANSACTION_FREEZE_TIMEOUT => "transactions that are under way could not be held still in time",
            Self::TRANSACTION_THAW_TIMEOUT => "transactions that were held still could not go on in time",
            Self::VOLUME_NOT_LOCAL => "the volume is not a disk of this computer",
            Self::WRITER_INCONSISTENT => "its data would not be consistent",
            Self::WRITER_OUT_OF_RESOURCES => "it has too little memory or room",
            Self::WRITER_TIMEOUT => "it was not ready in time",
            Self::WRITER_RETRYABLE => "it failed, and may do better next time",
            Self::WRITER_NOT_RETRYABLE => "it failed, and would fail again",
            _ => return None,
        })
    }

    /// Returns what the user can do about it.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::ACCESS_DENIED => NOT_ELEVATED_HINT,
            Self::SERVICE_DISABLED | Self::CLASS_NOT_REGISTERED => {
                "look at the services \"Volume Shadow Copy\" and \"COM+ Event System\" in services.msc, or use --shadow never"
            }
            Self::VOLUME_NOT_SUPPORTED | Self::VOLUME_NOT_SUPPORTED_BY_PROVIDER | Self::VOLUME_NOT_LOCAL => {
                "shadow copies can be made of NTFS and ReFS volumes of this computer; use --shadow never to read the live files"
            }
            Self::TOO_MANY_VOLUMES => "back up some of the sources in another job",
            Self::FLUSH_WRITES_TIMEOUT | Self::HOLD_WRITES_TIMEOUT => {
                "the disk is very busy: try again when it is quieter"
            }
            Self::SET_IN_PROGRESS => "another backup program, or System Restore, is at work: try again later",
            Self::TOO_MANY_COPIES => {
                "look at them with `vssadmin list shadows`, and remove old ones with `vssadmin delete shadows /oldest /for=C:`"
            }
            Self::INSUFFICIENT_STORAGE | Self::TOO_MANY_STORAGE_AREAS => {
                "make room on the volume, or see `vssadmin list shadowstorage` and `vssadmin resize shadowstorage`"
            }
            Self::REBOOT_REQUIRED => "restart the computer",
            Self::TRANSACTION_FREEZE_TIMEOUT | Self::TRANSACTION_THAW_TIMEOUT => {
                "look at the service \"Distributed Transaction Coordinator\" in services.msc, and try again when the computer is quieter"
            }
            _ => {
                "see the event log (Application, source VSS) and `vssadmin list writers`; a restart of the computer often helps"
            }
        }
    }
}

/// What to do where hardback does not run elevated.
pub(crate) const NOT_ELEVATED_HINT: &str = "start it from a terminal that was opened with \"Run as administrator\", or use --shadow never to read the live files";

/// Further attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retry {
    /// How long is waited before the next.
    pub(crate) pause: Duration,
    /// How many there are in all.
    pub(crate) attempts: u32,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.meaning() {
            Some(meaning) => write!(f, "{meaning} ({:#010x})", self.0),
            None => write!(f, "the shadow copy service answered {:#010x}", self.0),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::Code;

    /// All that are known to end something.
    pub(crate) const FAILURES: [Code; 34] = [
        Code::NOT_IMPLEMENTED,
        Code::UNEXPECTED,
        Code::ACCESS_DENIED,
        Code::OUT_OF_MEMORY,
        Code::SERVICE_DISABLED,
        Code::CLASS_NOT_REGISTERED,
        Code::BAD_STATE,
        Code::SERVICE_UNEXPECTED,
        Code::PROVIDER_VETO,
        Code::OBJECT_NOT_FOUND,
        Code::CANCELLED,
        Code::VOLUME_NOT_SUPPORTED,
        Code::VOLUME_NOT_SUPPORTED_BY_PROVIDER,
        Code::PROVIDER_ERROR,
        Code::TOO_MANY_VOLUMES,
        Code::FLUSH_WRITES_TIMEOUT,
        Code::HOLD_WRITES_TIMEOUT,
        Code::WRITER_ERROR,
        Code::SET_IN_PROGRESS,
        Code::TOO_MANY_COPIES,
        Code::WRITER_INFRASTRUCTURE,
        Code::WRITER_NOT_RESPONDING,
        Code::VOLUME_IN_USE,
        Code::TOO_MANY_STORAGE_AREAS,
        Code::INSUFFICIENT_STORAGE,
        Code::REBOOT_REQUIRED,
        Code::TRANSACTION_FREEZE_TIMEOUT,
        Code::TRANSACTION_THAW_TIMEOUT,
        Code::VOLUME_NOT_LOCAL,
        Code::WRITER_INCONSISTENT,
        Code::WRITER_OUT_OF_RESOURCES,
        Code::WRITER_TIMEOUT,
        Code::WRITER_RETRYABLE,
        Code::WRITER_NOT_RETRYABLE,
    ];

    #[test]
    fn each_code_has_a_meaning_of_its_own_and_a_hint() {
        let mut meanings: Vec<&str> = FAILURES.iter().map(|code| code.meaning().unwrap()).collect();
        meanings.sort_unstable();
        let count = meanings.len();
        meanings.dedup();
        // Two say that a volume cannot be frozen.
        assert_eq!(meanings.len(), count - 1);
        for code in FAILURES {
            assert!(!code.hint().is_empty() && code.to_string().contains("0x"), "{code}");
            assert_eq!(code.is_failure(), code != Code::CANCELLED);
        }
        let failures = FAILURES.into_iter().filter(|code| code.is_failure()).count();
        assert!(include_str!("../../../../README.md").contains(&format!("yes: {failures} codes at 18 calls")));
    }
}
