//! musts
