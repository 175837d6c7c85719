// A mesh; behind the first zero byte lies the text of every material library that it names.
#include "layeravatar/io/obj.h"

#include <algorithm>

#include "target.h"

using namespace layeravatar;

namespace {

template <class Ids>
void require_range(const Ids& all, std::size_t count, std::int32_t least) {
  for (const auto& ids : all)
    for (const std::int32_t id : ids) fuzz::require(id >= least && id < static_cast<std::int64_t>(count), "an index out of range");
}

void check(const io::ObjMesh& mesh, bool uvs) {
  require_range(mesh.triangles, mesh.vertices.size(), 0);
  require_range(mesh.uv_triangles, mesh.uvs.size(), uvs ? 0 : -1);
  fuzz::require(mesh.uv_triangles.size() == mesh.triangles.size() && mesh.materials.size() == mesh.triangles.size(), "sizes differ");
  for (const std::int32_t id : mesh.materials)
    fuzz::require(id >= -1 && id < static_cast<std::int64_t>(mesh.material_list.size()), "a material out of range");
  for (const auto& o : mesh.objects)
    fuzz::require(o.first_triangle + o.triangle_count <= static_cast<std::int64_t>(mesh.triangles.size()), "an object out of range");
}

}  // namespace

LAV_FUZZ_TARGET(bytes) {
  const std::size_t end = std::min(bytes.find('\0'), bytes.size());
  const std::string_view text = bytes.substr(0, end);
  const std::string library(bytes.substr(std::min(end + 1, bytes.size())));
  fuzz::survives([&] { check(io::parse_obj(text, "f"), true); });
  fuzz::survives([&] { check(io::parse_obj(text, "f", {.uvs = false}), false); });
  fuzz::survives([&] {
    const auto mesh = io::parse_obj(text, "f", {.uvs = false, .materials = true}, [&](const auto&) { return library; });
    check(mesh, false);
    const auto again = io::parse_obj(io::format_obj(mesh, ""), "again", {.uvs = false});
    fuzz::require(again.vertices == mesh.vertices && again.triangles == mesh.triangles, "not the same mesh");
  });
}
