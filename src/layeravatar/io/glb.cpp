#include "layeravatar/io/glb.h"

#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <limits>

#include "layeravatar/core/error.h"
#include "layeravatar/io/bytes.h"
#include "layeravatar/io/json.h"

namespace layeravatar::io {
namespace {

using Json = nlohmann::json;
using Matrix = std::array<double, 16>;  // column-major, as in the file

constexpr std::uint32_t kMagic = 0x46546C67, kJsonChunk = 0x4E4F534A, kBinaryChunk = 0x004E4942;
constexpr std::uint64_t kMaxTriangles = 1U << 26U;
constexpr int kFloat = 5126, kU8 = 5121, kU16 = 5123, kU32 = 5125, kTrianglesMode = 4;

struct Parts {
  Json json;
  std::string_view binary;
};

class Reader {
 public:
  Reader(Parts parts, const std::string& file) : json_(std::move(parts.json)), binary_(parts.binary), file_(file) {}

  GlbMesh read() {
    for (const Json& name : list("extensionsRequired"))
      if (name != "KHR_materials_unlit" && name != "KHR_mesh_quantization")
        reject(fmt::format("needs the extension '{}'", name.get<std::string>().substr(0, 60)));
    for (const Json& material : list("materials")) out_.material_list.push_back(material_of(material));
    out_.material_list.emplace_back();
    const Json& nodes = list("nodes");
    visited_.assign(nodes.size(), false);
    const Json& scenes = list("scenes");
    if (scenes.empty()) reject("has no scene");
    const std::size_t scene = json_.contains("scene") ? index(get(json_, "scene"), scenes.size(), "scene") : 0;
    for (const Json& node : items(scenes[scene], "nodes"))
      visit(index(node, nodes.size(), "node"), {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}, 0);
    return std::move(out_);
  }

  [[noreturn]] void reject(const std::string& what) const { throw Error(ErrorKind::kInput, file_ + ": " + what); }

 private:
  const Json& list(const char* key) const {
    static const Json kEmpty = Json::array();
    const auto at = json_.find(key);
    if (at == json_.end()) return kEmpty;
    if (!at->is_array()) reject(fmt::format("'{}' is not a list", key));
    return *at;
  }

  std::size_t index(const Json& value, std::size_t count, const char* what) const {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() >= count)
      reject(fmt::format("{} {} out of range 0..{}", what, value.is_number() ? value.dump() : "?", static_cast<std::int64_t>(count) - 1));
    return value.get<std::size_t>();
  }

  // Not copied: what a file holds may be nested deeply, and copies recurse. Null where there is no such key.
  static const Json& get(const Json& object, const char* key) {
    static const Json kNull;
    if (!object.is_object()) return kNull;
    const auto at = object.find(key);
    return at == object.end() ? kNull : *at;
  }

  // The items of a list; nothing of anything else.
  static const Json& items(const Json& object, const char* key) {
    static const Json kEmpty = Json::array();
    const Json& out = get(object, key);
    return out.is_array() ? out : kEmpty;
  }

  static std::uint64_t whole(const Json& object, const char* key, std::uint64_t otherwise) {
    const Json& value = get(object, key);
    return value.is_null() ? otherwise : value.is_number_unsigned() ? value.get<std::uint64_t>() : std::numeric_limits<std::uint64_t>::max();
  }

  // The bytes of a buffer view.
  std::string_view view(const Json& value, std::uint64_t& stride) const {
    const Json& views = list("bufferViews");
    const Json& v = views[index(value, views.size(), "bufferView")];
    if (whole(v, "buffer", 1) != 0) reject("buffers outside the file are not read");
    const std::uint64_t offset = whole(v, "byteOffset", 0), size = whole(v, "byteLength", 0);
    if (offset > binary_.size() || size > binary_.size() - offset)
      reject(fmt::format("bufferView {} lies outside the buffer of {} bytes", value.dump(), binary_.size()));
    stride = whole(v, "byteStride", 0);
    return binary_.substr(offset, size);
  }

  struct Accessor {
    std::string_view bytes;
    std::uint64_t count = 0, stride = 0, width = 0;  // width: bytes of a component
    int type = 0;
    bool normalised = false;
    [[nodiscard]] double at(std::uint64_t i, std::uint64_t k) const {
      const std::uint64_t pos = i * stride + k * width;
      switch (type) {
        case kFloat: return load<float>(bytes, pos);
        case kU8: return load<std::uint8_t>(bytes, pos) / (normalised ? 255.0 : 1.0);
        case kU16: return load<std::uint16_t>(bytes, pos) / (normalised ? 65535.0 : 1.0);
        default: return load<std::uint32_t>(bytes, pos);
      }
    }
  };

  Accessor accessor(const Json& value, const char* shape, std::uint64_t components) const {
    const Json& all = list("accessors");
    const std::size_t i = index(value, all.size(), "accessor");
    const Json& a = all[i];
    const auto bad = [&](const std::string& what) { reject(fmt::format("accessor {}: {}", i, what)); };
    if (a.contains("sparse")) bad("sparse ones are not read");
    if (a.value("type", "") != shape) bad(fmt::format("expected a {}", shape));
    Accessor out;
    out.type = static_cast<int>(whole(a, "componentType", 0));
    out.normalised = a.value("normalized", false);
    out.width = out.type == kFloat || out.type == kU32 ? 4 : out.type == kU16 ? 2 : out.type == kU8 ? 1 : 0;
    if (out.width == 0) bad("element type is none of u8, u16, u32, f32");
    out.count = whole(a, "count", 0);
    if (get(a, "bufferView").is_null()) bad("has no bufferView");
    out.bytes = view(get(a, "bufferView"), out.stride);
    const std::uint64_t element = components * out.width, offset = whole(a, "byteOffset", 0);
    if (out.stride == 0) out.stride = element;
    if (out.stride < element || out.stride > 4096) bad("a stride out of range");
    if (offset > out.bytes.size()) bad("lies outside its bufferView");
    out.bytes.remove_prefix(offset);
    if (out.count != 0 && (out.bytes.size() < element || (out.bytes.size() - element) / out.stride < out.count - 1))
      bad(fmt::format("{} elements lie outside its bufferView", out.count));
    return out;
  }

  GlbMaterial material_of(const Json& m) const {
    GlbMaterial out;
    out.name = m.value("name", "");
    out.opaque = m.value("alphaMode", "OPAQUE") == "OPAQUE";
    const Json& pbr = get(m, "pbrMetallicRoughness");
    const Json& factor = get(pbr, "baseColorFactor");
    if (!factor.is_null() && (!factor.is_array() || factor.size() != 4)) reject("a baseColorFactor that is not four numbers");
    for (std::size_t k = 0; k < 4 && !factor.is_null(); ++k) out.factor[k] = factor[k].get<float>();
    const Json& use = get(pbr, "baseColorTexture");
    if (use.is_null()) return out;
    if (whole(use, "texCoord", 0) != 0) reject(fmt::format("material '{}': only the first texture coordinates are read", out.name));
    if (use.contains("extensions")) reject(fmt::format("material '{}': transformed textures are not read", out.name));
    const Json &textures = list("textures"), &images = list("images");
    const Json& texture = textures[index(get(use, "index"), textures.size(), "texture")];
    const Json& image = images[index(get(texture, "source"), images.size(), "image")];
    if (get(image, "bufferView").is_null()) reject(fmt::format("material '{}': its picture is not in the file", out.name));
    std::uint64_t stride = 0;
    out.picture = view(get(image, "bufferView"), stride);
    return out;
  }

  static Matrix times(const Matrix& a, const Matrix& b) {
    Matrix out{};
    for (std::size_t c = 0; c < 4; ++c)
      for (std::size_t r = 0; r < 4; ++r)
        for (std::size_t k = 0; k < 4; ++k) out[4 * c + r] += a[4 * k + r] * b[4 * c + k];
    return out;
  }

  template <std::size_t N>
  std::array<double, N> numbers(const Json& node, const char* key, std::array<double, N> otherwise) const {
    const auto at = node.find(key);
    if (at == node.end()) return otherwise;
    if (!at->is_array() || at->size() != N) reject(fmt::format("a node's '{}' is not {} numbers", key, N));
    for (std::size_t k = 0; k < N; ++k) otherwise[k] = (*at)[k].get<double>();
    return otherwise;
  }

  void visit(std::size_t at, const Matrix& parent, int depth) {
    const Json& nodes = list("nodes");
    if (visited_[at] || depth > 100) reject(fmt::format("node {}: nodes are not a tree", at));
    visited_[at] = true;
    const Json& node = nodes[at];
    Matrix own = numbers<16>(node, "matrix", {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1});
    if (!node.contains("matrix")) {
      const auto t = numbers<3>(node, "translation", {0, 0, 0}), s = numbers<3>(node, "scale", {1, 1, 1});
      const auto q = numbers<4>(node, "rotation", {0, 0, 0, 1});
      const double x = q[0], y = q[1], z = q[2], w = q[3];
      const double r[9] = {1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w),
                           2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w),
                           2 * (x * z + y * w), 2 * (y * z - x * w), 1 - 2 * (x * x + y * y)};  // by columns
      for (std::size_t c = 0; c < 3; ++c) {
        for (std::size_t k = 0; k < 3; ++k) own[4 * c + k] = r[3 * c + k] * s[c];
        own[12 + c] = t[c];
      }
    }
    const Matrix here = times(parent, own);
    const Json& meshes = list("meshes");
    if (!get(node, "mesh").is_null()) {
      const std::size_t mesh = index(get(node, "mesh"), meshes.size(), "mesh");
      for (const Json& primitive : items(meshes[mesh], "primitives")) append(primitive, mesh, here);
    }
    for (const Json& child : items(node, "children")) visit(index(child, nodes.size(), "node"), here, depth + 1);
  }

  void append(const Json& primitive, std::size_t mesh, const Matrix& m) {
    const auto bad = [&](const std::string& what) { reject(fmt::format("mesh {}: {}", mesh, what)); };
    if (whole(primitive, "mode", kTrianglesMode) != kTrianglesMode) bad("expected triangles");
    const Json& attributes = get(primitive, "attributes");
    if (get(attributes, "POSITION").is_null()) bad("has no positions");
    const Accessor positions = accessor(get(attributes, "POSITION"), "VEC3", 3);
    const auto material = primitive.contains("material") ? index(get(primitive, "material"), out_.material_list.size() - 1, "material")
                                                         : out_.material_list.size() - 1;
    const bool textured = !get(attributes, "TEXCOORD_0").is_null();
    if (!textured && !out_.material_list[material].picture.empty()) bad("a textured part without texture coordinates");
    const std::uint64_t first = out_.vertices.size();
    if (first + positions.count > kMaxTriangles) bad("too many vertices");
    for (std::uint64_t i = 0; i < positions.count; ++i) {
      std::array<float, 3> p{};
      for (std::size_t r = 0; r < 3; ++r) {
        p[r] = static_cast<float>(m[r] * positions.at(i, 0) + m[4 + r] * positions.at(i, 1) + m[8 + r] * positions.at(i, 2) + m[12 + r]);
        if (!std::isfinite(p[r])) bad(fmt::format("vertex {} is not finite", i));
      }
      out_.vertices.push_back(p);
    }
    if (textured) {
      const Accessor uvs = accessor(get(attributes, "TEXCOORD_0"), "VEC2", 2);
      if (uvs.count != positions.count) bad(fmt::format("{} texture coordinates of {} vertices", uvs.count, positions.count));
      for (std::uint64_t i = 0; i < uvs.count; ++i) {
        const auto u = static_cast<float>(uvs.at(i, 0)), v = static_cast<float>(1 - uvs.at(i, 1));
        if (!std::isfinite(u) || !std::isfinite(v)) bad(fmt::format("texture coordinate {} is not finite", i));
        out_.uvs.push_back({u, v});
      }
    } else {
      out_.uvs.resize(out_.vertices.size());
    }
    Accessor ids;
    const bool indexed = primitive.contains("indices");
    if (indexed) ids = accessor(get(primitive, "indices"), "SCALAR", 1);
    if (indexed && ids.type == kFloat) bad("indices are not whole numbers");
    const std::uint64_t corners = indexed ? ids.count : positions.count;
    if (corners % 3 != 0) bad(fmt::format("{} corners are not triangles", corners));
    if (out_.triangles.size() + corners / 3 > kMaxTriangles) bad("too many triangles");
    for (std::uint64_t i = 0; i < corners; i += 3) {
      std::array<std::int32_t, 3> t{};
      for (std::uint64_t k = 0; k < 3; ++k) {
        const std::uint64_t id = indexed ? static_cast<std::uint64_t>(ids.at(i + k, 0)) : i + k;
        if (id >= positions.count) bad(fmt::format("index {} out of range 0..{}", id, static_cast<std::int64_t>(positions.count) - 1));
        t[k] = static_cast<std::int32_t>(first + id);
      }
      out_.triangles.push_back(t);
      out_.materials.push_back(static_cast<std::int32_t>(material));
    }
  }

  Json json_;
  std::string_view binary_;
  const std::string& file_;
  std::vector<bool> visited_;
  GlbMesh out_;
};

Parts split(std::string_view bytes, const std::string& file) {
  const auto reject = [&](const std::string& what) { throw Error(ErrorKind::kInput, file + ": " + what); };
  if (bytes.size() < 20 || load<std::uint32_t>(bytes, 0) != kMagic) reject("not a binary glTF file");
  if (const auto version = load<std::uint32_t>(bytes, 4); version != 2) reject(fmt::format("glTF version {}; expected 2", version));
  const std::uint64_t length = load<std::uint32_t>(bytes, 8);
  if (length > bytes.size()) reject(fmt::format("truncated; expected {} bytes, found {}", length, bytes.size()));
  Parts out;
  std::string_view text;
  for (std::uint64_t pos = 12; pos + 8 <= length;) {
    const std::uint64_t size = load<std::uint32_t>(bytes, pos);
    const auto kind = load<std::uint32_t>(bytes, pos + 4);
    if (size > length - pos - 8) reject(fmt::format("truncated; a chunk of {} bytes, {} left", size, length - pos - 8));
    const std::string_view chunk = bytes.substr(pos + 8, size);
    if (kind == kJsonChunk && text.empty()) text = chunk;
    if (kind == kBinaryChunk && out.binary.empty()) out.binary = chunk;
    pos += 8 + size + (4 - size % 4) % 4;
  }
  out.json = parse_json(text, file);
  if (!out.json.is_object()) reject("its JSON is not an object");
  return out;
}

}  // namespace

GlbMesh parse_glb(std::string_view bytes, const std::string& file) {
  Parts parts = split(bytes, file);
  try {
    return Reader(std::move(parts), file).read();
  } catch (const Json::exception& e) {  // a value of another type
    std::string why = e.what();
    if (const std::size_t end = why.find("] "); end != std::string::npos) why.erase(0, end + 2);
    throw Error(ErrorKind::kInput, file + ": " + why);
  }
}

}  // namespace layeravatar::io
