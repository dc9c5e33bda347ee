//! Metadata v09, internal: superblock, activity log, bitmap (see drbdmeta).
