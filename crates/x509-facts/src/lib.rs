//! PEM and DER in, facts about certificates and keys out.
