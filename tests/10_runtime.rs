//! Tests of step 10.
