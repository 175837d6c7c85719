#include "layeravatar/avatar/release_code.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <fstream>

#include "layeravatar/core/error.h"
#include "layeravatar/io/torch_file.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::avatar {
namespace {

using Kind = io::PickleValue::Kind;
constexpr const char *kActivated = "code", *kLeaf = "code_";

std::string label_of(const std::string& file, const std::string& key) {
  return key.empty() ? file : fmt::format("{}: tensor '{}'", file, key);
}

io::PickleValue params_of(const io::PickleValue& content) {
  return content.is(Kind::kDict) ? content.find("param") : io::PickleValue();
}

io::PickleValue code_under(const io::PickleValue& params, const char* key) {
  const io::PickleValue value = params.is(Kind::kDict) ? params.find(key) : io::PickleValue();
  return value.is(Kind::kArray) ? value : io::PickleValue();
}

// A pickle begins with its protocol, an archive with PK; the header of a .safetensors file follows eight bytes of its length.
bool is_avatar_file(const std::filesystem::path& path) {
  std::string start(9, '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(start.data(), static_cast<std::streamsize>(start.size()));
  const std::string kind = path.extension().string();
  if (start[8] == '{') return true;
  return !start.starts_with("PK") && start[0] != '\x80' && kind != ".pth" && kind != ".pt" && kind != ".pkl";
}

}  // namespace

bool is_release_code(const io::PickleValue& content) {
  const io::PickleValue params = params_of(content);
  return content.is(Kind::kArray) || !code_under(params, kActivated).is(Kind::kNone) || !code_under(params, kLeaf).is(Kind::kNone);
}

ReleaseCode find_release_code(const io::PickleValue& content, const std::string& file) {
  if (!is_release_code(content))
    throw Error(ErrorKind::kInput, fmt::format("{}: no code of the release; expected a tensor, or a dict with param.code or param.code_, found {}", file,
                                               io::name_of(content.kind())));
  ReleaseCode out;
  io::PickleValue value = content;
  if (!content.is(Kind::kArray)) {
    const io::PickleValue params = params_of(content), name = content.find("scene_name");
    value = code_under(params, kActivated);
    out.activated = !value.is(Kind::kNone);
    if (!out.activated) value = code_under(params, kLeaf);
    out.key = std::string("param.") + (out.activated ? kActivated : kLeaf);
    if (name.is(Kind::kText)) out.scene_name = name.text();
  }
  const torch::Tensor stored = tensor::to_tensor(value.array());
  if (!stored.is_floating_point())
    throw Error(ErrorKind::kInput, fmt::format("{}; expected real numbers, found {}", label_of(file, out.key), io::name_of(value.array().dtype)));
  out.values = stored.to(torch::kFloat32);
  return out;
}

Avatar avatar_of_code(const ReleaseCode& code, const std::string& file, std::int64_t rows, const PlaneActivation* activation) {
  const std::string label = label_of(file, code.key);
  const torch::Tensor& values = code.values;
  const std::int64_t h = rows > 0 ? rows : values.dim() == 3 ? values.size(1) : 0;
  if (h == 0 || values.dim() != 3 || values.size(0) != 12 || values.size(1) != h || values.size(2) != 3 * h)
    throw Error(ErrorKind::kInput, fmt::format("{}; expected {}, found {}", label, rows > 0 ? io::shape_text({12, h, 3 * h}) : "(12, h, 3h)",
                                               io::shape_text(values.sizes().vec())));
  if (!torch::isfinite(values).all().item<bool>()) throw Error(ErrorKind::kInput, label + " contains non-finite numbers");
  if (!code.activated && activation == nullptr)
    throw Error(ErrorKind::kUsage, label + " is a code before its activation, whose statistics a pack holds; give --model PACK");
  const torch::NoGradGuard no_grad;
  Avatar out;
  out.planes = (code.activated ? values : activation->forward(values)).contiguous();
  out.provenance = {{"source", std::filesystem::path(file).filename().string()}};
  if (!code.scene_name.empty()) out.provenance["scene"] = code.scene_name;
  return out;
}

Avatar read_avatar_or_code(const std::filesystem::path& path, std::int64_t rows, const PlaneActivation* activation) {
  if (is_avatar_file(path)) return read_avatar(path, rows);
  return avatar_of_code(find_release_code(io::read_pickle_or_torch_file(path), path.string()), path.string(), rows, activation);
}

}  // namespace layeravatar::avatar
