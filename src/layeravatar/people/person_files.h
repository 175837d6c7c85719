// A dressed person on disk, for other programs and as an exact scan:
//   <folder>/person.obj  person.mtl  <material>.png
//   <folder>/labels.npy [triangles] int32  shade.npy [vertices] float32  params.npy [189] float32
#pragma once
#include <filesystem>

#include "layeravatar/people/dressed_person.h"

namespace layeravatar::people {

/// Writes the whole folder under a temporary name and renames it. Throws Error(kOutput) where something of that name
/// is.
void write_person(const std::filesystem::path& folder, const DressedPerson& person);

/// What write_person wrote; every number comes back the same, materials in the order of their use. Throws Error(kInput)
/// naming the file.
DressedPerson read_person(const std::filesystem::path& folder);

}  // namespace layeravatar::people
