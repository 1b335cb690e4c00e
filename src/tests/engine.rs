//! The search over candidates, as far as one transaction sees it.

use pgrx::prelude::*;

#[pg_schema]
mod tests {
    use pgrx::prelude::*;

    /// The result of `match_any` for the password `pencil` on this number of threads.
    fn match_any(workers: i32, mechanism: &str, candidates: &str) -> Option<i32> {
        Spi::run(&format!("SET LOCAL scram.search_threads = {workers}")).expect("the setting");
        let sql = format!(
            "SELECT scram.match_any(scram.generate('pencil', 4096, '\\x01', '{mechanism}'), {candidates})"
        );
        Spi::get_one(&sql).expect("an answer")
    }

    fn places(mechanism: &str, count: i32) {
        for workers in [1, 2, 5] {
            for place in [1, count / 2, count] {
                let candidates = format!(
                    "(SELECT array_agg(CASE i WHEN {place} THEN 'pencil' ELSE 'w' || i END ORDER BY i)
                      FROM generate_series(1, {count}) i)"
                );
                let found = match_any(workers, mechanism, &candidates);
                assert_eq!(found, Some(place), "{mechanism}, {workers} workers");
            }
            let none = format!("(SELECT array_agg('w' || i) FROM generate_series(1, {count}) i)");
            assert_eq!(match_any(workers, mechanism, &none), None, "{mechanism}, {workers}");
        }
    }

    #[pg_test]
    fn match_any_finds_every_place() {
        places("SCRAM-SHA-256", 101);
    }

    #[pg_test]
    fn match_any_of_other_mechanisms() {
        places("SCRAM-SHA-1", 7);
        places("SCRAM-SHA-512", 7);
    }

    #[pg_test]
    fn match_any_counts_as_sql_does() {
        let cases = [
            // NULL elements are skipped, but count.
            ("ARRAY[NULL, 'a', NULL, 'pencil']", Some(4)),
            ("ARRAY[NULL, NULL]::text[]", None),
            ("'{}'::text[]", None),
            // The first of two equal candidates counts.
            ("ARRAY['a', 'pencil', 'pencil']", Some(2)),
            // More dimensions are read row by row; a lower bound of its own doesn't matter.
            ("ARRAY[ARRAY['a', 'b'], ARRAY['pencil', 'c']]", Some(3)),
            ("'[5:6]={a,pencil}'::text[]", Some(2)),
            // Prepared as ALTER ROLE does it.
            ("ARRAY[U&'pen\\00ADcil']", Some(1)),
            ("ARRAY['', 'Pencil', 'pencil ']", None),
            // Longer than a block of the hash, than what is stored inline, than any password.
            ("ARRAY[repeat('x', 65), repeat('x', 100000), 'pencil']", Some(3)),
            ("ARRAY['pencil', repeat('x', 1048577)]", Some(1)),
        ];
        for (candidates, place) in cases {
            for workers in [1, 3] {
                let found = match_any(workers, "SCRAM-SHA-256", candidates);
                assert_eq!(found, place, "{candidates}, {workers} workers");
            }
        }
    }

    /// More than are copied at a time, few iterations: positions go on, and the last part counts.
    #[pg_test]
    fn match_any_of_a_long_list() {
        Spi::run("SET LOCAL scram.min_iterations = 1").expect("the setting");
        for workers in [1, 2] {
            Spi::run(&format!("SET LOCAL scram.search_threads = {workers}")).expect("the setting");
            for (count, place) in [(8192, 8192), (8193, 8193), (20000, 16385), (16384, 0)] {
                let found = Spi::get_one::<i32>(&format!(
                    "SELECT scram.match_any(scram.generate('pencil', 1), array_agg(
                         CASE WHEN i = {place} THEN 'pencil' WHEN i % 3 = 0 THEN NULL
                              ELSE 'w' || i END ORDER BY i))
                     FROM generate_series(1, {count}) i"
                ));
                let expected = (place > 0).then_some(place);
                assert_eq!(found.expect("an answer"), expected, "{count}, {workers} workers");
            }
        }
    }

    #[pg_test(error = "the password is too long")]
    fn match_any_refuses_what_is_no_password() {
        match_any(2, "SCRAM-SHA-256", "ARRAY['a', repeat('x', 1048577), 'pencil']");
    }

    #[pg_test(
        error = "65 is outside the valid range for parameter \"scram.search_threads\" (1 .. 64)"
    )]
    fn workers_have_a_limit() {
        match_any(65, "SCRAM-SHA-256", "ARRAY['a']");
    }
}
