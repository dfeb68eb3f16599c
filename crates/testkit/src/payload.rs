//! Hand-made values of the domain: members and facts that follow every rule. The mock service is made of them, too.

pub use zmon_service::mock::{CANARY_KEY, good_facts, good_members};
