#include "layeravatar/io/obj.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <set>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"

namespace layeravatar::io {
namespace {

constexpr std::size_t kMaxCount = std::numeric_limits<std::int32_t>::max();

/// Lines of a text, each without comment and line end, cut into words.
class Lines {
 public:
  Lines(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  bool next() {
    if (pos_ >= text_.size()) return false;
    const std::size_t end = std::min(text_.find('\n', pos_), text_.size());
    line_ = text_.substr(pos_, end - pos_);
    line_ = line_.substr(0, line_.find('#'));
    pos_ = end + 1;
    ++number_;
    return true;
  }

  /// Empty at the end of the line.
  std::string_view word() {
    const std::size_t begin = line_.find_first_not_of(kBlank);
    if (begin == std::string_view::npos) return line_ = {};
    const std::size_t end = std::min(line_.find_first_of(kBlank, begin), line_.size());
    const std::string_view out = line_.substr(begin, end - begin);
    line_.remove_prefix(end);
    return out;
  }

  /// The rest of the line: names may hold blanks.
  std::string_view rest() const {
    const std::size_t begin = line_.find_first_not_of(kBlank);
    if (begin == std::string_view::npos) return {};
    return line_.substr(begin, line_.find_last_not_of(kBlank) - begin + 1);
  }

  template <class T>
  T number(std::string_view word) const {
    T value{};
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    bool good = error == std::errc() && end == word.data() + word.size();
    if constexpr (std::is_floating_point_v<T>) good = good && std::isfinite(value);
    if (!good) reject(fmt::format("cannot read number {}", quote(word)), number_);
    return value;
  }

  [[noreturn]] void reject(const std::string& what, std::int64_t line) const {
    throw Error(ErrorKind::kInput, fmt::format("{}: line {}: {}", file_, line, what));
  }

  static std::string quote(std::string_view word) {
    std::string out = "'";
    for (const char c : word.substr(0, 40)) out += c >= ' ' && c < 127 ? c : '?';
    return out + "'";
  }

  [[nodiscard]] std::int64_t line() const { return number_; }

 private:
  static constexpr const char* kBlank = " \t\r\v\f";
  std::string_view text_, line_;
  const std::string& file_;
  std::size_t pos_ = 0;
  std::int64_t number_ = 0;
};

/// From 0; a positive one is checked when all of the file is known. -1 stays for "none".
std::int64_t index(const Lines& lines, std::string_view word, std::size_t count) {
  const auto value = lines.number<std::int64_t>(word);
  if (value > 0) return value - 1;
  if (value == 0 || value < -static_cast<std::int64_t>(count))
    lines.reject(fmt::format("index {} out of range 1..{}", value, count), lines.line());
  return static_cast<std::int64_t>(count) + value;
}

struct Face {
  std::array<std::int64_t, 3> v, t;
  std::int64_t line;
};

// One triangle, or a fan of them.
void read_face(Lines& lines, const ObjMesh& mesh, const ObjOptions& options, std::vector<Face>& out) {
  struct Ids {
    std::int64_t v, t = -1;
  };
  Ids first{}, last{};
  std::int64_t corners = 0, without = 0;
  const std::size_t begin = out.size();
  for (std::string_view word = lines.word(); !word.empty(); word = lines.word(), ++corners) {
    if (corners >= 3 && !options.polygons) continue;
    Ids here{};
    const std::size_t slash = std::min(word.find('/'), word.size());
    here.v = index(lines, word.substr(0, slash), mesh.vertices.size());
    word.remove_prefix(std::min(slash + 1, word.size()));
    const std::string_view uv = word.substr(0, word.find('/'));
    if (!uv.empty()) here.t = index(lines, uv, mesh.uvs.size());
    without += here.t < 0 ? 1 : 0;
    if (corners == 0) first = here;
    if (corners >= 2) out.push_back({{first.v, last.v, here.v}, {first.t, last.t, here.t}, lines.line()});
    last = here;
  }
  if (corners < 3 || (corners > 3 && !options.polygons))
    lines.reject(fmt::format("face has {} corners; expected 3", corners), lines.line());
  const auto all = static_cast<std::int64_t>(out.size() - begin) + 2;
  if (without != 0 && (options.uvs || without != all)) lines.reject("face without texture coordinates", lines.line());
}

void check_local(const std::filesystem::path& path, const Lines& lines) {
  bool local = !path.empty() && path.is_relative();
  for (const auto& part : path) local = local && part != "..";
  if (!local) lines.reject(fmt::format("{} lies outside the folder", Lines::quote(path.string())), lines.line());
}

}  // namespace

ObjMesh parse_obj(std::string_view text, const std::string& file, const ObjOptions& options, const ObjLibrary& library) {
  LAV_CHECK(!options.materials || library, "materials need their libraries");
  ObjMesh mesh;
  Lines lines(text, file);
  std::vector<Face> faces;
  std::map<std::string, std::int32_t, std::less<>> material_of;
  std::set<std::string> libraries;  // each is read once, however often it is named
  std::int32_t material = -1;
  while (lines.next()) {
    const std::string_view key = lines.word();
    if (key == "v" || key == "vt") {
      if (mesh.vertices.size() >= kMaxCount || mesh.uvs.size() >= kMaxCount)
        lines.reject("too many vertices", lines.line());
      std::array<float, 3> p{};
      for (std::size_t k = 0; k < (key == "v" ? 3 : 2); ++k) p[k] = lines.number<float>(lines.word());
      if (key == "v")
        mesh.vertices.push_back(p);
      else
        mesh.uvs.push_back({p[0], p[1]});
    } else if (key == "f") {
      read_face(lines, mesh, options, faces);
      if (!mesh.objects.empty())
        mesh.objects.back().triangle_count += static_cast<std::int64_t>(faces.size() - mesh.materials.size());
      mesh.materials.resize(faces.size(), material);
    } else if (key == "o") {
      mesh.objects.push_back({std::string(lines.rest()), static_cast<std::int64_t>(faces.size()), 0});
    } else if (key == "mtllib" && options.materials) {
      const std::filesystem::path path = std::string(lines.rest());
      check_local(path, lines);
      if (!libraries.insert(path.string()).second) continue;
      for (auto& one : parse_mtl(library(path), (std::filesystem::path(file).parent_path() / path).string()))
        if (material_of.emplace(one.name, static_cast<std::int32_t>(mesh.material_list.size())).second)
          mesh.material_list.push_back(std::move(one));
    } else if (key == "usemtl" && options.materials) {
      const auto at = material_of.find(lines.rest());
      if (at == material_of.end())
        lines.reject(fmt::format("no material {}", Lines::quote(lines.rest())), lines.line());
      material = at->second;
    } else if (!key.empty() && key != "vn" && key != "s" && key != "g" && key != "usemtl" && key != "mtllib") {
      lines.reject(fmt::format("unknown line {}", Lines::quote(key)), lines.line());
    }
  }
  for (const Face& face : faces) {
    const auto check = [&](const std::array<std::int64_t, 3>& ids, std::size_t count) {
      std::array<std::int32_t, 3> out{};
      for (std::size_t k = 0; k < 3; ++k) {
        if (ids[k] >= static_cast<std::int64_t>(count))
          lines.reject(fmt::format("index {} out of range 1..{}", ids[k] + 1, count), face.line);
        out[k] = static_cast<std::int32_t>(ids[k]);
      }
      return out;
    };
    mesh.triangles.push_back(check(face.v, mesh.vertices.size()));
    mesh.uv_triangles.push_back(check(face.t, mesh.uvs.size()));
  }
  return mesh;
}

std::vector<ObjMaterial> parse_mtl(std::string_view text, const std::string& file) {
  std::vector<ObjMaterial> out;
  Lines lines(text, file);
  while (lines.next()) {
    const std::string_view key = lines.word();
    if (key == "newmtl") {
      if (lines.rest().empty()) lines.reject("material without a name", lines.line());
      out.push_back({std::string(lines.rest()), {}});
    } else if (key == "map_Kd") {
      if (out.empty()) lines.reject("map_Kd before newmtl", lines.line());
      check_local(std::string(lines.rest()), lines);
      out.back().texture = lines.rest();
    }
  }
  return out;
}

ObjMesh read_obj(const std::filesystem::path& path, const ObjOptions& options) {
  const auto folder = path.parent_path();
  return parse_obj(read_file(path), path.string(), options, [&](const auto& library) { return read_file(folder / library); });
}

std::string format_obj(const ObjMesh& mesh, const std::string& library) {
  LAV_CHECK(mesh.uv_triangles.size() == mesh.triangles.size(), "uvs of every triangle");
  LAV_CHECK(library.empty() || mesh.materials.size() == mesh.triangles.size(), "a material of every triangle");
  fmt::memory_buffer out;
  const auto to = std::back_inserter(out);
  if (!library.empty()) fmt::format_to(to, "mtllib {}\n", library);
  for (const auto& p : mesh.vertices) fmt::format_to(to, "v {} {} {}\n", p[0], p[1], p[2]);
  for (const auto& t : mesh.uvs) fmt::format_to(to, "vt {} {}\n", t[0], t[1]);
  std::int32_t material = -1;
  for (std::size_t i = 0; i < mesh.triangles.size(); ++i) {
    if (!library.empty() && mesh.materials[i] != material) {
      material = mesh.materials[i];
      LAV_CHECK(material >= 0 && static_cast<std::size_t>(material) < mesh.material_list.size(),
                "a material of the list");
      fmt::format_to(to, "usemtl {}\n", mesh.material_list[static_cast<std::size_t>(material)].name);
    }
    const auto &v = mesh.triangles[i], &t = mesh.uv_triangles[i];
    fmt::format_to(to, "f");
    for (std::size_t k = 0; k < 3; ++k)
      if (t[k] >= 0)
        fmt::format_to(to, " {}/{}", v[k] + 1, t[k] + 1);
      else
        fmt::format_to(to, " {}", v[k] + 1);
    fmt::format_to(to, "\n");
  }
  return fmt::to_string(out);
}

std::string format_mtl(const std::vector<ObjMaterial>& materials) {
  std::string out;
  for (const auto& m : materials) {
    out += fmt::format("newmtl {}\nKd 1 1 1\n", m.name);
    if (!m.texture.empty()) out += fmt::format("map_Kd {}\n", m.texture);
  }
  return out;
}

}  // namespace layeravatar::io
