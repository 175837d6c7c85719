#include "layeravatar/train/checkpoint.h"

#include <fmt/format.h>
#include <libdeflate.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/core/mapped_file.h"

namespace layeravatar::train {
namespace {

namespace fs = std::filesystem;

constexpr const char *kManifest = "manifest.json", *kPartial = ".partial";

std::string name_of(std::int64_t iteration) { return fmt::format("iter_{:08}", iteration); }

std::string checksum(std::string_view bytes) { return fmt::format("{:08x}", libdeflate_crc32(0, bytes.data(), bytes.size())); }

// Oldest first.
std::vector<fs::path> checkpoints(const fs::path& run_folder) {
  std::vector<fs::path> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run_folder / "checkpoints", error)) {
    const std::string name = entry.path().filename().string();
    if (name.size() == 13 && name.starts_with("iter_") && std::all_of(name.begin() + 5, name.end(), ::isdigit)) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

Checkpoint read_checkpoint(const fs::path& folder) {
  const fs::path manifest_path = folder / kManifest;
  const MappedFile text(manifest_path);
  const auto manifest = nlohmann::json::parse(text.bytes(), nullptr, false);
  const auto fail = [](const fs::path& file, const std::string& what) { throw Error(ErrorKind::kInput, file.string() + ": " + what); };
  if (!manifest.is_object() || !manifest.contains("files") || !manifest["files"].is_object()) fail(manifest_path, "is no manifest of a checkpoint");
  Checkpoint out{.iteration = std::stoll(folder.filename().string().substr(5)), .folder = folder, .files = {}};
  for (const auto& [name, expected] : manifest["files"].items()) {
    const fs::path file = folder / name;
    const auto mapped = std::make_shared<const MappedFile>(file);
    const auto size = expected.value("bytes", std::uint64_t{0});
    if (mapped->bytes().size() != size) fail(file, fmt::format("{} bytes, expected {}", mapped->bytes().size(), size));
    const std::string found = checksum(mapped->bytes()), sum = expected.value("crc32", std::string());
    if (found != sum) fail(file, fmt::format("CRC-32 {}, expected {}", found, sum));
    out.files[name] = io::parse_safetensors(mapped->bytes(), file.string(), mapped);
  }
  return out;
}

}  // namespace

void write_checkpoint(const fs::path& run_folder, std::int64_t iteration, const CheckpointFiles& files, int kept, const std::function<void()>& others) {
  AtomicFolder folder(run_folder / "checkpoints" / name_of(iteration), kPartial);
  for (const auto& [name, content] : files) io::write_safetensors(folder.temporary() / name, content);
  if (others) others();
  nlohmann::json sums;
  for (const auto& entry : fs::directory_iterator(folder.temporary())) {
    const MappedFile written(entry.path());
    sums[entry.path().filename().string()] = {{"bytes", written.bytes().size()}, {"crc32", checksum(written.bytes())}};
  }
  write_file(folder.temporary() / kManifest, nlohmann::json{{"iteration", iteration}, {"files", sums}}.dump(1) + "\n");
  folder.commit_over();
  const std::vector<fs::path> all = checkpoints(run_folder);
  std::error_code ignored;
  for (std::size_t i = 0; i + static_cast<std::size_t>(kept) < all.size(); ++i) fs::remove_all(all[i], ignored);
}

fs::path partial_checkpoint(const fs::path& run_folder, std::int64_t iteration) { return run_folder / "checkpoints" / (name_of(iteration) + kPartial); }

void remove_partial_checkpoints(const fs::path& run_folder) {
  std::error_code ignored;
  std::vector<fs::path> partial;
  for (const auto& entry : fs::directory_iterator(run_folder / "checkpoints", ignored))
    if (entry.path().extension() == kPartial) partial.push_back(entry.path());
  for (const fs::path& path : partial) fs::remove_all(path, ignored);
}

std::optional<Checkpoint> read_newest_checkpoint(const fs::path& run_folder, const std::function<void(const std::string&)>& say) {
  const std::vector<fs::path> all = checkpoints(run_folder);
  std::string reasons;
  for (auto it = all.rbegin(); it != all.rend(); ++it) {
    try {
      Checkpoint found = read_checkpoint(*it);
      // A whole one to go on from: the damaged ones make place for what follows.
      std::error_code ignored;
      for (auto newer = all.rbegin(); newer != it; ++newer) {
        fs::path aside = *newer;
        aside += ".damaged";
        fs::remove_all(aside, ignored);
        fs::rename(*newer, aside, ignored);
      }
      return found;
    } catch (const Error& e) {
      if (it + 1 == all.rend()) throw Error(ErrorKind::kInput, fmt::format("{}: no whole checkpoint: {}{}", run_folder.string(), reasons, e.what()));
      reasons += std::string(e.what()) + "; ";
      if (say) say(fmt::format("{} is damaged ({}): going on from {}", it->filename().string(), e.what(), (it + 1)->filename().string()));
    }
  }
  return std::nullopt;
}

fs::path newest_checkpoint(const fs::path& run_folder) {
  const std::vector<fs::path> all = checkpoints(run_folder);
  return all.empty() ? fs::path() : all.back();
}

}  // namespace layeravatar::train
