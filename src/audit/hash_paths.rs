//! Functions and views through which others read stored hashes.

use password_audit::HashPath;
use pgrx::pg_sys::panic::ErrorReport;

use crate::pg::query::query;

/// Functions and views of this database that look like they return stored hashes: their owner can read them, and
/// the body names both the catalog and the column, or all columns. `readers` are the roles that may use them and
/// could not read the hashes themselves. Those of an extension are left out.
///
/// The body of a view, or of a function that was parsed when it was made, is searched as the parse tree that the
/// catalog has. The functions that print it would lock all relations in it, and an owner of one could keep the audit
/// waiting. In the tree, the set of columns that a query reads from a relation counts from 7 below the first, which is
/// the whole row; a column that is only compared with NULL is no way to its content.
const HASH_PATHS: &str = r"
WITH hash AS MATERIALIZED (
    SELECT format(':relid %s [^{}]*:selectedCols \(b( \d+)* (7|%s)[ )]', attrelid::oid, attnum + 7) AS is_read,
           format('\{VAR :varno \d+ :varattno (0|%s) ', attnum) AS is_used
    FROM pg_attribute
    WHERE attrelid = 'pg_authid'::regclass AND attname = 'rolpassword'
        OR attrelid = 'pg_shadow'::regclass AND attname = 'passwd'
), path AS (
    SELECT p.oid, 'pg_proc'::regclass AS class, 'function' AS kind, p.proname AS name,
           format('(%s)', pg_get_function_identity_arguments(p.oid)) AS arguments,
           p.pronamespace AS namespace, p.proowner AS owner, p.prosqlbody::text AS tree, p.prosrc AS source
    FROM pg_proc p
    WHERE p.prosecdef AND p.prorettype NOT IN ('void'::regtype, 'trigger'::regtype, 'event_trigger'::regtype)
    UNION ALL
    SELECT c.oid, 'pg_class'::regclass, CASE c.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END, c.relname,
           '', c.relnamespace, c.relowner, w.ev_action::text, NULL
    FROM pg_class c
    JOIN pg_rewrite w ON w.ev_class = c.oid AND w.ev_type = '1'
    WHERE c.relkind IN ('v', 'm')
        AND NOT EXISTS (SELECT FROM pg_options_to_table(c.reloptions) x
                        WHERE x.option_name = 'security_invoker' AND x.option_value::boolean)
)
SELECT format('%s %I.%I%s', p.kind, n.nspname, p.name, p.arguments) AS name, o.rolname::text AS owner,
       CASE p.kind WHEN 'function' THEN has_function_privilege('public', p.oid, 'EXECUTE')
                   ELSE has_any_column_privilege('public', p.oid, 'SELECT') END
           AND has_schema_privilege('public', n.oid, 'USAGE') AS is_public,
       ARRAY(SELECT r.rolname::text
             FROM pg_authid r
             WHERE r.oid >= 16384 AND NOT r.rolsuper AND r.oid <> p.owner
                 AND CASE p.kind WHEN 'function' THEN has_function_privilege(r.oid, p.oid, 'EXECUTE')
                                 ELSE has_any_column_privilege(r.oid, p.oid, 'SELECT') END
                 AND has_schema_privilege(r.oid, n.oid, 'USAGE')
                 AND NOT has_column_privilege(r.oid, 'pg_authid', 'rolpassword', 'SELECT')
                 AND NOT has_column_privilege(r.oid, 'pg_shadow', 'passwd', 'SELECT')
             ORDER BY r.rolname) AS readers
FROM path p
JOIN pg_namespace n ON n.oid = p.namespace
JOIN pg_authid o ON o.oid = p.owner
WHERE p.oid >= 16384
    AND CASE
        WHEN NOT o.rolsuper AND NOT has_column_privilege(o.oid, 'pg_authid', 'rolpassword', 'SELECT')
            AND NOT has_column_privilege(o.oid, 'pg_shadow', 'passwd', 'SELECT') THEN false
        WHEN p.tree IS NULL THEN p.source ~* '\m(pg_shadow|pg_authid)\M'
            AND p.source ~* '\m(rolpassword|passwd)\M|\*\s*(,|into\M|from\M)'
        ELSE EXISTS (SELECT FROM hash h
                     WHERE p.tree ~ h.is_read
                         -- A join lists all columns of its sides.
                         AND regexp_replace(p.tree, '\{NULLTEST :arg \{VAR [^{}]*\}|:joinaliasvars \((\{[^{}]*\} ?)*\)',
                                            '', 'g') ~ h.is_used) END
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = p.class AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY 1";

/// Reads them.
pub(super) fn load() -> Result<Vec<HashPath>, ErrorReport> {
    query(HASH_PATHS, &[], |row| {
        Ok(HashPath {
            name: row.text("name")?,
            owner: row.text("owner")?,
            is_public: row.value("is_public")?,
            readers: row.optional_texts("readers")?.unwrap_or_default(),
        })
    })
}
