// The command `edit`: an avatar changed where its views were painted. Without LibTorch in the header.
#pragma once
#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "layeravatar/data/picture_files.h"

namespace layeravatar::train {

struct EditAvatarOptions {
  std::filesystem::path model, avatar, output;
  data::PictureFiles pictures;        // the painted views; masks: pictures of their size, painted where the first channel is above 127
  std::vector<int> views;             // instead of cameras: which of the 36 views of `generate` the pictures are
  std::filesystem::path params;       // SMPL-X parameters of the pose they show; empty: the default one of `generate`
  std::string component;              // empty: any may change
  bool geometry_only = false, colour_only = false;
  int steps = 100;
};

/// Writes into the folder avatar.safetensors, sheet.png (a row for each painted view: before, painted, after, then 20 degrees to either side and
/// from behind, before over after), before and after of each painted view as pictures, and report.json with the PSNR inside and outside of the
/// masks. Returns the files; none when stopped. Throws what the readers throw, Error(kConfig) for an unknown component and contradicting
/// switches.
std::vector<std::filesystem::path> edit_avatar(const EditAvatarOptions& options, const std::function<void(const std::string&)>& say, const std::atomic<bool>* stop);

/// Three edits of avatars that the pack makes, painted on their Gaussians, so that other views of the wanted avatar are known too.
struct EditTableOptions {
  std::filesystem::path model, output;  // output: pictures mark.png, skirt.png, sleeve.png; empty: none
  int mark = 7, skirt = 10, sleeve = 10;  // seeds
  int steps = 100;
};
struct EditRow {
  std::string edit;
  double inside = 0, inside_before = 0;  // dB in the mask against the painted view: after, and before the edit
  double beside = 0, beside_before = 0;  // the same 20 degrees to either side, where the wanted avatar differs there
  double outside = 0, outside_beside = 0, behind = 0;  // dB against before: around the mask in the person's box, in the painted views, beside them, and from where nothing was painted
};
std::vector<EditRow> edit_table(const EditTableOptions& options, const std::function<void(const std::string&)>& say);

}  // namespace layeravatar::train
