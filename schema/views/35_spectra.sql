CREATE VIEW analyst.densities_of_states AS
SELECT m.uid, m.formula, d.method, d.spin_orbit, d.reference, d.fermi_energy, d.vacuum_level, d.n_spins, d.n_energies,
       d.energies, d.total, s.key AS source, r.external_id, d.id AS density_of_states_id
FROM density_of_states d
JOIN source_record r ON r.id = d.source_record_id AND r.state = 'accepted'
JOIN source s ON s.id = r.source_id
JOIN material_member mm ON mm.source_record_id = r.id
JOIN material m ON m.id = mm.material_id AND m.withdrawn_at IS NULL;
COMMENT ON VIEW analyst.densities_of_states IS 'Electronic densities of states; SELECT e, t FROM analyst.densities_of_states, unnest(energies, total[1:1]) AS u(e, t) lists the points of the first spin channel';
COMMENT ON COLUMN analyst.densities_of_states.uid IS 'stable name of the material';
COMMENT ON COLUMN analyst.densities_of_states.formula IS 'reduced formula';
COMMENT ON COLUMN analyst.densities_of_states.method IS 'level of theory';
COMMENT ON COLUMN analyst.densities_of_states.spin_orbit IS 'whether spin-orbit coupling is included';
COMMENT ON COLUMN analyst.densities_of_states.reference IS 'zero of the energies: vacuum, fermi or calculation (its own scale)';
COMMENT ON COLUMN analyst.densities_of_states.fermi_energy IS 'eV, on the scale of energies';
COMMENT ON COLUMN analyst.densities_of_states.vacuum_level IS 'eV, on the scale of energies, mean of the two faces; energies minus it are against vacuum';
COMMENT ON COLUMN analyst.densities_of_states.n_spins IS 'spin channels, 1 or 2; a single one counts both spins';
COMMENT ON COLUMN analyst.densities_of_states.n_energies IS 'points of the energy grid';
COMMENT ON COLUMN analyst.densities_of_states.energies IS 'eV, ascending: real[n_energies]';
COMMENT ON COLUMN analyst.densities_of_states.total IS 'states/eV per cell: real[n_spins][n_energies]; null where only projections are given';
COMMENT ON COLUMN analyst.densities_of_states.source IS 'database and release that gave it';
COMMENT ON COLUMN analyst.densities_of_states.external_id IS 'identifier of the record in its source';
COMMENT ON COLUMN analyst.densities_of_states.density_of_states_id IS 'number of the density of states, to join its projections';

CREATE VIEW analyst.dos_projections AS
SELECT d.uid, d.formula, d.method, d.spin_orbit, p.element, p.orbital, d.energies, p.density, d.fermi_energy, d.source,
       d.external_id, d.density_of_states_id
FROM analyst.densities_of_states d
JOIN dos_projection p ON p.density_of_states_id = d.density_of_states_id;
COMMENT ON VIEW analyst.dos_projections IS 'Densities of states projected onto elements and orbitals';
COMMENT ON COLUMN analyst.dos_projections.uid IS 'stable name of the material';
COMMENT ON COLUMN analyst.dos_projections.formula IS 'reduced formula';
COMMENT ON COLUMN analyst.dos_projections.method IS 'level of theory';
COMMENT ON COLUMN analyst.dos_projections.spin_orbit IS 'whether spin-orbit coupling is included';
COMMENT ON COLUMN analyst.dos_projections.element IS 'chemical symbol; all its atoms together';
COMMENT ON COLUMN analyst.dos_projections.orbital IS 's, p, d or f; null for their sum';
COMMENT ON COLUMN analyst.dos_projections.energies IS 'eV, ascending: real[n_energies]';
COMMENT ON COLUMN analyst.dos_projections.density IS 'states/eV per cell: real[n_spins][n_energies]; projections need not add up to the total';
COMMENT ON COLUMN analyst.dos_projections.fermi_energy IS 'eV, on the scale of energies';
COMMENT ON COLUMN analyst.dos_projections.source IS 'database and release that gave it';
COMMENT ON COLUMN analyst.dos_projections.external_id IS 'identifier of the record in its source';
COMMENT ON COLUMN analyst.dos_projections.density_of_states_id IS 'number of the density of states that it is part of';

CREATE VIEW analyst.band_structures AS
SELECT m.uid, m.formula, b.method, b.spin_orbit, b.reference, b.fermi_energy, b.vacuum_level,
       array_length(b.energies, 1) AS n_spins,
       array_length(b.energies, 2) AS n_wave_vectors,
       array_length(b.energies, 3) AS n_bands,
       b.wave_vectors, b.energies, b.label_positions, b.label_names, s.key AS source, r.external_id
FROM band_structure b
JOIN source_record r ON r.id = b.source_record_id AND r.state = 'accepted'
JOIN source s ON s.id = r.source_id
JOIN material_member mm ON mm.source_record_id = r.id
JOIN material m ON m.id = mm.material_id AND m.withdrawn_at IS NULL;
COMMENT ON VIEW analyst.band_structures IS 'Electronic bands along paths; analyst.bands_of(uid) lists them energy by energy';
COMMENT ON COLUMN analyst.band_structures.uid IS 'stable name of the material';
COMMENT ON COLUMN analyst.band_structures.formula IS 'reduced formula';
COMMENT ON COLUMN analyst.band_structures.method IS 'level of theory';
COMMENT ON COLUMN analyst.band_structures.spin_orbit IS 'whether spin-orbit coupling is included';
COMMENT ON COLUMN analyst.band_structures.reference IS 'zero of the energies: vacuum, fermi or calculation (its own scale)';
COMMENT ON COLUMN analyst.band_structures.fermi_energy IS 'eV, on the scale of energies';
COMMENT ON COLUMN analyst.band_structures.vacuum_level IS 'eV, on the scale of energies, mean of the two faces; energies minus it are against vacuum';
COMMENT ON COLUMN analyst.band_structures.n_spins IS 'spin channels; with spin-orbit coupling one holds the bands of both spins';
COMMENT ON COLUMN analyst.band_structures.n_wave_vectors IS 'points along the path';
COMMENT ON COLUMN analyst.band_structures.n_bands IS 'bands of one spin channel';
COMMENT ON COLUMN analyst.band_structures.wave_vectors IS 'in units of the reciprocal vectors of the source''s own cell: real[n_wave_vectors][3]';
COMMENT ON COLUMN analyst.band_structures.energies IS 'eV: real[n_spins][n_wave_vectors][n_bands]';
COMMENT ON COLUMN analyst.band_structures.label_positions IS 'first subscript of wave_vectors at each special point, from 1';
COMMENT ON COLUMN analyst.band_structures.label_names IS 'name of each special point, G for Γ';
COMMENT ON COLUMN analyst.band_structures.source IS 'database and release that gave it';
COMMENT ON COLUMN analyst.band_structures.external_id IS 'identifier of the record in its source';

CREATE VIEW analyst.phonons AS
SELECT m.uid, m.formula, p.method, p.interpolated,
       array_length(p.energies, 1) AS n_wave_vectors,
       array_length(p.energies, 2) AS n_modes,
       p.wave_vectors, p.energies, (SELECT min(e) FROM unnest(p.energies) AS e) AS lowest, p.label_positions, p.label_names,
       s.key AS source, r.external_id
FROM phonon_spectrum p
JOIN source_record r ON r.id = p.source_record_id AND r.state = 'accepted'
JOIN source s ON s.id = r.source_id
JOIN material_member mm ON mm.source_record_id = r.id
JOIN material m ON m.id = mm.material_id AND m.withdrawn_at IS NULL;
COMMENT ON VIEW analyst.phonons IS 'Phonon energies at the wave vectors that the supercell holds exactly, and interpolated along a path';
COMMENT ON COLUMN analyst.phonons.uid IS 'stable name of the material';
COMMENT ON COLUMN analyst.phonons.formula IS 'reduced formula';
COMMENT ON COLUMN analyst.phonons.method IS 'level of theory';
COMMENT ON COLUMN analyst.phonons.interpolated IS 'whether between the wave vectors that the supercell holds exactly; read stability off the exact ones';
COMMENT ON COLUMN analyst.phonons.n_wave_vectors IS 'wave vectors';
COMMENT ON COLUMN analyst.phonons.n_modes IS 'modes, three an atom';
COMMENT ON COLUMN analyst.phonons.wave_vectors IS 'in units of the reciprocal vectors of the source''s own cell: real[n_wave_vectors][3]';
COMMENT ON COLUMN analyst.phonons.energies IS 'meV, imaginary modes negative: real[n_wave_vectors][n_modes]';
COMMENT ON COLUMN analyst.phonons.lowest IS 'meV, lowest of energies; clearly negative is dynamically unstable';
COMMENT ON COLUMN analyst.phonons.label_positions IS 'first subscript of wave_vectors at each special point, from 1';
COMMENT ON COLUMN analyst.phonons.label_names IS 'name of each special point, G for Γ';
COMMENT ON COLUMN analyst.phonons.source IS 'database and release that gave it';
COMMENT ON COLUMN analyst.phonons.external_id IS 'identifier of the record in its source';

CREATE VIEW analyst.stiffness AS
SELECT m.uid, m.formula, t.method, t.tensor[1][1] AS c_11, t.tensor[2][2] AS c_22, t.tensor[1][2] AS c_12,
       t.tensor[3][3] AS c_66, t.tensor, s.key AS source, r.external_id
FROM stiffness_tensor t
JOIN source_record r ON r.id = t.source_record_id AND r.state = 'accepted'
JOIN source s ON s.id = r.source_id
JOIN material_member mm ON mm.source_record_id = r.id
JOIN material m ON m.id = mm.material_id AND m.withdrawn_at IS NULL;
COMMENT ON VIEW analyst.stiffness IS 'In-plane stiffness, Voigt convention';
COMMENT ON COLUMN analyst.stiffness.uid IS 'stable name of the material';
COMMENT ON COLUMN analyst.stiffness.formula IS 'reduced formula';
COMMENT ON COLUMN analyst.stiffness.method IS 'level of theory';
COMMENT ON COLUMN analyst.stiffness.c_11 IS 'N/m, xx, xx';
COMMENT ON COLUMN analyst.stiffness.c_22 IS 'N/m, yy, yy';
COMMENT ON COLUMN analyst.stiffness.c_12 IS 'N/m, xx, yy';
COMMENT ON COLUMN analyst.stiffness.c_66 IS 'N/m, xy, xy: shear stress per engineering shear; (c_11 - c_12)/2 in an isotropic layer';
COMMENT ON COLUMN analyst.stiffness.tensor IS 'N/m, rows and columns xx, yy, xy: double precision[3][3]';
COMMENT ON COLUMN analyst.stiffness.source IS 'database and release that gave it';
COMMENT ON COLUMN analyst.stiffness.external_id IS 'identifier of the record in its source';

CREATE FUNCTION analyst.bands_of(material_uid text)
RETURNS TABLE (source text, external_id text, method text, spin_orbit boolean, spin integer, k integer, band integer, energy real)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    -- The subscripts follow from the place in the flattened array: indexing it by them would unpack it for each element.
    SELECT b.source, b.external_id, b.method, b.spin_orbit,
           ((e.place - 1) / (b.n_bands * b.n_wave_vectors))::integer + 1,
           ((e.place - 1) / b.n_bands % b.n_wave_vectors)::integer + 1,
           ((e.place - 1) % b.n_bands)::integer + 1,
           e.energy
    FROM analyst.band_structures b
    CROSS JOIN LATERAL unnest(b.energies) WITH ORDINALITY AS e(energy, place)
    WHERE b.uid = material_uid
$$;
COMMENT ON FUNCTION analyst.bands_of(text) IS
'Every energy (eV, on the scale that analyst.band_structures names) of every band structure of one material, with its spin channel, the subscript k of its wave vector and its band, all from 1';
