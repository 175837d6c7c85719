// Binary glTF files.
#include "layeravatar/io/glb.h"

#include "target.h"

using namespace layeravatar;

LAV_FUZZ_TARGET(bytes) {
  fuzz::survives([&] {
    const io::GlbMesh mesh = io::parse_glb(bytes, "f");
    fuzz::require(mesh.uvs.size() == mesh.vertices.size() && mesh.materials.size() == mesh.triangles.size(), "sizes differ");
    for (const auto& t : mesh.triangles)
      for (const std::int32_t id : t) fuzz::require(id >= 0 && id < static_cast<std::int64_t>(mesh.vertices.size()), "an index out of range");
    for (const std::int32_t m : mesh.materials) fuzz::require(m >= 0 && m < static_cast<std::int64_t>(mesh.material_list.size()), "a material out of range");
  });
}
