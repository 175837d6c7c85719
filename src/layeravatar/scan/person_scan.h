// CC0 people as scans: what a data set of scans would have of them, so that the way from raw scans to training data can
// be tried and tested without licensed files.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>

#include "layeravatar/people/dressed_person.h"
#include "layeravatar/scan/scan_folder.h"

namespace layeravatar::scan {

/// One mesh with one picture, in the person's place. Every connected piece of a material's texture space has its own
/// part of the picture, as fine as the texture, with the baked shade in its colours; the picture is RGBA where a
/// texture is.
ScanMesh scan_of(const people::TexturedMesh& mesh);

struct ScanPaths {
  std::filesystem::path folder, fit;
};

/// Writes the scan and its fit in the set's layout below `root`; the folder appears when it is whole, the fit first.
///   thuman2.0  THuman2.0_Release/<id>/<id>.obj material0.mtl material0.png  THUman20_Smpl-X/<id>/smplx_param.pkl and
///              smplx_param_refine.pkl, which are the same. Hands have 45 numbers, relative to a mean hand of zero; views
///              show the person moved to the canonical translation.
///   custom     mesh/<id>/mesh-f<last five digits>.obj ...  smplx/<id>/mesh-f<...>.json and ..._refine.json. Views show the
///              person where it is; `model` is the body of the person's betas and global_orient must be zero.
/// Throws Error(kConfig) for another set or a person that the set cannot hold, Error(kOutput) when the scan exists.
ScanPaths write_person_scan(const std::filesystem::path& root, const std::string& id, const people::DressedPerson& person, ScanSet set,
                            const body::BodyModel* model);

struct PeopleScansOptions {
  int count = 8;
  std::uint64_t seed = 1;  // person i has seed + i
  ScanSet set = ScanSet::kThuman20;
};

/// Scans of the people that data::make_people makes of the same seeds. Complete ones that are there are kept.
void make_people_scans(people::Wardrobe& wardrobe, const std::filesystem::path& root, const PeopleScansOptions& options,
                       const std::function<void(int, int)>& progress = {});

}  // namespace layeravatar::scan
