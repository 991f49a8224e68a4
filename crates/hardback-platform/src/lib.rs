//! Files and volumes of this operating system.
