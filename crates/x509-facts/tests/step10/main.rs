//! From PEM texts to the verdict of step 10.

mod accept;
mod common;
mod hostile;
mod matrix;
mod refuse_chains;
mod refuse_keys;
mod refuse_texts;
