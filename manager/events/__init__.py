"""Events: derived from changes of records, remembered by each manager, archived by the leader."""
