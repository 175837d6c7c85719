#include "layeravatar/produce/import_file.h"

#include <fmt/format.h>

#include "layeravatar/avatar/release_checkpoint.h"
#include "layeravatar/avatar/release_code.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/torch_file.h"

namespace layeravatar::produce {
namespace {

using Kind = io::PickleValue::Kind;

// "a dict of epoch, weights, ...": what somebody holds who gave another file.
std::string outline(const io::PickleValue& content) {
  std::string out = std::string("a ") + io::name_of(content.kind());
  if (!content.is(Kind::kDict)) return out;
  constexpr std::size_t kShown = 5, kLength = 40;
  for (std::size_t i = 0; i < content.size() && i < kShown; ++i)
    if (content.key(i).is(Kind::kText)) out += (i == 0 ? " of " : ", ") + std::string(content.key(i).text().substr(0, kLength));
  return out + (content.size() > kShown ? ", ..." : "");
}

void refuse_flags(const ImportOptions& o, bool code) {
  const auto refuse = [&](bool given, const char* flag, const char* only) {
    if (given) throw Error(ErrorKind::kUsage, fmt::format("{}: {} is for a {}", o.file.string(), flag, only));
  };
  if (!code) return refuse(!o.model.empty(), "--model", "code");
  refuse(!o.templates.empty(), "--templates", "checkpoint");
  refuse(!o.smplx.empty(), "--smplx", "checkpoint");
  refuse(o.planes_height != 0, "--planes-height", "checkpoint");
  refuse(o.image_size != 0, "--image-size", "checkpoint");
}

}  // namespace

ImportResult import_file(const ImportOptions& o) {
  const std::string file = o.file.string();
  const io::PickleValue content = io::read_pickle_or_torch_file(o.file);
  const bool code = avatar::is_release_code(content);
  if (!code && !avatar::is_release_checkpoint(content))
    throw Error(ErrorKind::kInput, fmt::format("{}: neither a checkpoint nor a code of the release; expected a dict with state_dict, a tensor "
                                               "(12, h, 3h), or a dict with param.code or param.code_, found {}", file, outline(content)));
  refuse_flags(o, code);
  ImportResult out;
  out.output = o.output.empty() ? o.file.filename().replace_extension(".safetensors") : o.output;
  if (code) {
    const avatar::ReleaseCode found = avatar::find_release_code(content, file);
    avatar::Avatar one;
    if (o.model.empty()) {
      one = avatar::avatar_of_code(found, file, 0, nullptr);
    } else {
      const avatar::ModelPack pack = avatar::read_pack(o.model);
      one = avatar::avatar_of_code(found, file, pack.config.planes_height, &pack.activation);
    }
    avatar::write_avatar(out.output, one);
    out.kind = "avatar";
    for (const std::int64_t n : one.planes.sizes()) out.planes.push_back(static_cast<int>(n));
    out.report.used["planes"].push_back(found.key.empty() ? "(the tensor)" : found.key);
    if (!found.activated) out.report.notes.push_back("activated with the statistics of " + o.model.string());
    if (content.is(Kind::kDict) && content.contains("optimizer")) out.report.ignored["optimiser"].emplace_back("optimizer");
    return out;
  }
  avatar::ImportedPack imported = avatar::import_release_checkpoint(avatar::open_release_checkpoint(content, file),
                                                                    {o.templates, o.smplx, o.planes_height, o.image_size});
  avatar::write_pack(out.output, imported.pack, avatar::Storage::kExact);
  out.kind = "pack";
  const int h = imported.pack.config.planes_height;
  out.planes = {12, h, 3 * h};
  out.report = std::move(imported.report);
  return out;
}

}  // namespace layeravatar::produce
