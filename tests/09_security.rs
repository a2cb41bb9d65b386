//! Tests of step 9.
