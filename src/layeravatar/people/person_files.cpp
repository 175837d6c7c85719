#include "layeravatar/people/person_files.h"

#include <fmt/format.h>

#include <cmath>
#include <set>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/io/obj.h"

namespace layeravatar::people {
namespace {

namespace fs = std::filesystem;

io::ObjMesh to_obj(const TexturedMesh& mesh) {
  LAV_CHECK(mesh.labels.size() == mesh.triangles.size() && mesh.shade.size() == mesh.vertices.size(), "a whole mesh");
  io::ObjMesh out{mesh.vertices, mesh.uvs, mesh.triangles, mesh.uv_triangles, mesh.materials, {}, {}};
  std::set<std::string> names;
  for (const Material& m : mesh.material_list) {
    LAV_CHECK(
        names.insert(m.name).second && m.name.find_first_of("/\\ \n") == std::string::npos && !m.name.starts_with('.'),
        "material names are distinct file names");
    out.material_list.push_back({m.name, m.name + ".png"});
  }
  return out;
}

io::Array read_sized(const fs::path& path, std::size_t count) {
  io::Array out = io::read_npy(path);
  io::expect_shape(out, {static_cast<std::int64_t>(count)}, path.string());
  return out;
}

}  // namespace

void write_person(const fs::path& folder, const DressedPerson& person) {
  const io::ObjMesh obj = to_obj(person.mesh);
  if (fs::exists(folder)) throw Error(ErrorKind::kOutput, folder.string() + ": exists already");
  AtomicFolder part(folder);
  const fs::path& temporary = part.temporary();
  write_file(temporary / "person.obj", io::format_obj(obj, "person.mtl"));
  write_file(temporary / "person.mtl", io::format_mtl(obj.material_list));
  for (std::size_t i = 0; i < obj.material_list.size(); ++i)
    io::write_png(temporary / obj.material_list[i].texture, person.mesh.material_list[i].texture);
  std::vector<std::int32_t> labels;
  for (const Label label : person.mesh.labels) labels.push_back(static_cast<std::int32_t>(label));
  const auto size = [](const auto& v) { return std::vector<std::int64_t>{static_cast<std::int64_t>(v.size())}; };
  io::write_npy(temporary / "labels.npy", io::make_array<std::int32_t>(size(labels), labels));
  io::write_npy(temporary / "shade.npy", io::make_array<float>(size(person.mesh.shade), person.mesh.shade));
  const auto params = body::pose_to_vector(person.params, body::PoseLayout::k189);
  io::write_npy(temporary / "params.npy", io::make_array<float>(size(params), params));
  part.commit();
}

DressedPerson read_person(const fs::path& folder) {
  const auto file = folder / "person.obj";
  io::ObjMesh obj = io::read_obj(file, {.uvs = true, .materials = true});
  DressedPerson out;
  TexturedMesh& mesh = out.mesh;
  for (const auto material : obj.materials)
    if (material < 0) throw Error(ErrorKind::kInput, file.string() + ": triangles without material");
  for (const auto& m : obj.material_list) {
    if (m.texture.empty())
      throw Error(ErrorKind::kInput, fmt::format("{}: material '{}' has no texture", file.string(), m.name));
    mesh.material_list.push_back({m.name, io::read_png(folder / m.texture)});
    if (mesh.material_list.back().texture.channels < 3)
      throw Error(ErrorKind::kInput, (folder / m.texture).string() + ": expected 3 or 4 channels");
  }
  for (const auto label :
       io::to_integers(read_sized(folder / "labels.npy", obj.triangles.size()), (folder / "labels.npy").string())) {
    if (label < 1 || label > 5)
      throw Error(ErrorKind::kInput,
                  fmt::format("{}: label {}; expected 1..5", (folder / "labels.npy").string(), label));
    mesh.labels.push_back(static_cast<Label>(label));
  }
  mesh.shade = io::to_floats(read_sized(folder / "shade.npy", obj.vertices.size()));
  for (const float s : mesh.shade)
    if (!(s >= 0 && s <= 2))
      throw Error(ErrorKind::kInput, fmt::format("{}: shade {}; expected 0..2", (folder / "shade.npy").string(), s));
  out.params = body::pose_from_vector(io::to_floats(read_sized(folder / "params.npy", 189)));
  mesh.vertices = std::move(obj.vertices);
  mesh.uvs = std::move(obj.uvs);
  mesh.triangles = std::move(obj.triangles);
  mesh.uv_triangles = std::move(obj.uv_triangles);
  mesh.materials = std::move(obj.materials);
  return out;
}

}  // namespace layeravatar::people
